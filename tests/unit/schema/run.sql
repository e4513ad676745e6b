-- A run of 10 samples of 1 ms each. Process app (pid 100), threads app (100) and worker (101):
--   app > main > work > memcpy     4 samples, thread app
--   app > main > work              3 samples, thread app
--   app > main > libc.so.6+0x9000  2 samples, thread worker
--   app > main                     1 sample,  thread worker
BEGIN;
INSERT INTO run VALUES
    (7, 'recording', NULL, 100, 1, './app --fast', 1000000000, NULL, 1700000000000000000, 1011000000, 900, 1111111,
     1, 'host', 'Linux 6.1', 'x86_64', 2, '0.1.0', 10, 10000000, 3, 0, 2, 0, 0, 0, 0, 0, 0);
INSERT INTO ability VALUES ('kernel_stacks', 0, 'forbidden', 'sudo true');
INSERT INTO process VALUES (1, 100, NULL, 'app', './app --fast', 1000000000, NULL);
INSERT INTO thread VALUES
    (1, 1, 100, 'app', 1, 1000000000, NULL),
    (2, 1, 101, 'worker', 0, 1001000000, 1011000000);
INSERT INTO binary VALUES
    (1, '/opt/app', 'app', 'main', 'abcd', 1, 'symtab', NULL, NULL),
    (2, '/lib/libc.so.6', 'libc.so.6', 'shared', NULL, 1, 'dynsym', 'stripped', NULL),
    (3, '[marker]', '[marker]', 'marker', NULL, 1, 'none', NULL, NULL);
INSERT INTO mapping VALUES
    (1, 1000000000, 1, 4194304, 4096, 0, 1),
    (2, 1000000000, 1, 8388608, 65536, 4096, 2);
INSERT INTO symbol VALUES
    (1, 'process', 'app', NULL, NULL, NULL, NULL, 'none', '', NULL, NULL),
    (2, 'function', 'main', NULL, 1, 256, 64, 'symtab', 'c', NULL, NULL),
    (3, 'function', 'work', NULL, 1, 512, 64, 'symtab', 'c', NULL, NULL),
    (4, 'function', 'memcpy', NULL, 2, 4096, 128, 'dynsym', '', NULL, NULL),
    (5, 'unnamed', 'libc.so.6+0x9000', NULL, 2, 36864, 0, 'none', '', NULL, NULL);
INSERT INTO frame VALUES (1, 3, 0, 1), (2, 1, 266, 2), (3, 1, 530, 3), (4, 2, 4100, 4), (5, 2, 36864, 5), (6, 1, 260, 2);
INSERT INTO callsite VALUES (1, 0, 1, 0, 1), (2, 1, 2, 1, 2), (3, 2, 3, 2, 3);
INSERT INTO call_tree VALUES
    (0, 1, 1, 0, 0, 0, 0, 0, 10, 10000000, 0, 0, 0, 0),
    (1, 2, 2, 1, 0, 0, 1, 1000000, 10, 10000000, 0, 0, 0, 0),
    (2, 3, 3, 2, 0, 0, 3, 3000000, 7, 7000000, 0, 0, 0, 0),
    (3, 4, 4, 3, 0, 0, 4, 4000000, 4, 4000000, 0, 0, 0, 0),
    (2, 5, 5, 2, 0, 0, 2, 2000000, 2, 2000000, 0, 0, 0, 0);
INSERT INTO sample (ts, utid, cpu, callsite, frame, on_cpu_ns) VALUES
    (1001000000, 1, 0, 3, 4, 1000000),
    (1002000000, 1, 0, 3, 4, 1000000),
    (1003000000, 1, 0, 2, 3, 1000000),
    (1004000000, 2, 1, 2, 5, 1000000),
    (1005000000, 1, 0, 3, 4, 1000000),
    (1006000000, 2, 1, 1, 6, 1000000),
    (1007000000, 1, 0, 2, 3, 1000000),
    (1008000000, 1, 0, 2, 3, 1000000),
    (1009000000, 2, 1, 2, 5, 1000000),
    (1010000000, 1, 0, 3, 4, 1000000);
INSERT INTO loss VALUES (1, 1005500000, 1, 'ring_full', 3);
INSERT INTO symbol_sum VALUES
    (1, 0, 0, 10, 10000000, 0, 0, 0, 0),
    (2, 1, 1000000, 10, 10000000, 0, 0, 0, 0),
    (3, 3, 3000000, 7, 7000000, 0, 0, 0, 0),
    (4, 4, 4000000, 4, 4000000, 0, 0, 0, 0),
    (5, 2, 2000000, 2, 2000000, 0, 0, 0, 0);
INSERT INTO symbol_thread_sum VALUES
    (1, 1, 0, 0, 7, 7000000),
    (1, 2, 0, 0, 7, 7000000),
    (1, 3, 3, 3000000, 7, 7000000),
    (1, 4, 4, 4000000, 4, 4000000),
    (2, 1, 0, 0, 3, 3000000),
    (2, 2, 1, 1000000, 3, 3000000),
    (2, 5, 2, 2000000, 2, 2000000);
INSERT INTO frame_sum VALUES (3, 1, 3, 3000000), (4, 1, 4, 4000000), (5, 2, 2, 2000000), (6, 2, 1, 1000000);
INSERT INTO callsite_sum VALUES (1, 2, 1, 1000000), (2, 1, 3, 3000000), (2, 2, 2, 2000000), (3, 1, 4, 4000000);
INSERT INTO thread_sum (utid, n_samples, on_cpu_ns) VALUES (1, 7, 7000000), (2, 3, 3000000);
INSERT INTO time_bucket VALUES (0, 1, 7, 7000000, NULL, NULL), (0, 2, 3, 3000000, NULL, NULL);
COMMIT;
