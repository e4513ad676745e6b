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
# What the threads waited for: the make for the compiler, the compiler for its source files, its
# worker for work and for a lock, the assembler for its input.
at 10
wait 100 main;run_jobs;libc.so.6!wait4;[k]do_wait ipc 440
at 81
wait 200 - runnable 3
at 150
wait 200 main;parse_file;libc.so.6!read;[k]vfs_read ioR 260
woken interrupt
wait 200 main;parse_file;libc.so.6!read;[k]vfs_read ioR 30
at 145
wait 201 start_thread;get_job;libc.so.6!pthread_cond_wait;[k]futex_wait idle 290
woken 200 main;parse_file;libc.so.6!pthread_cond_signal;[k]futex_wake
at 330
wait 201 start_thread;optimize;lock_table;libc.so.6!pthread_mutex_lock;[k]futex_wait lock 60
woken 200 main;optimize;libc.so.6!pthread_mutex_unlock;[k]futex_wake
at 10
wait 300 main;assemble;libc.so.6!read;[k]pipe_read ipc 430
woken 200 main;emit;libc.so.6!fwrite;[k]pipe_write
at 460
wait 300 main;assemble;libc.so.6!read;[k]pipe_read ipc 60
wait 300 - ioW 2 folded
wait 300 - ioW 3 folded
at 420
end 201
at 450
end 200
open 100 running
at 528
