# The run that docs/sql.md shows: a compiler driver, a compiler with a worker thread, an assembler.
process 100 make
process 200 cc1
thread 201 200 worker
process 300 as
sample 100 main;run_jobs x6
sample 100 main;run_jobs;libc.so.6!posix_spawn;[k]do_fork x4
sample 200 main;parse_file;parse_expr;parse_expr;lex x40
sample 200 main;parse_file;parse_expr;lex x25
sample 200 main;parse_file;?0x4c10 x6
snapshot
sample 200 main;optimize;libc.so.6!memcpy x60
sample 201 start_thread;optimize;libc.so.6!memcpy x35
sample 201 start_thread;optimize;hash_find x24
at 400
snapshot
sample 201 [truncated];hash_find x4
sample 200 main;emit;libc.so.6!fwrite;[k]sys_write x16
sample 300 main;assemble;lex x12
at 520
sample 300 main;assemble;libc.so.6!memcpy x8
