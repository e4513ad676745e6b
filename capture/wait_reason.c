/*
 * wait_reason.c - see wait_reason.h.
 *
 * Sources: function names from the call paths of Linux 5.10 to 6.18 down to schedule(), checked
 * with /proc/TID/stack of programs blocked in each call (tests/workloads/waits.c); system calls
 * from their manual pages; futex arguments from glibc 2.31 to 2.41 (nptl/,
 * sysdeps/nptl/futex-internal.h), musl 1.2 (src/thread), Go 1.22 (runtime/lock_futex.go) and
 * Rust 1.62 to 1.92 std (sys/sync, sys/pal/unix/futex.rs); names of C++20 from programs built with
 * GCC 12, and from libstdc++ (bits/semaphore_base.h, barrier) and libc++ (semaphore, barrier,
 * latch).
 */
#include "capture/wait_reason.h"

#include <stdlib.h>
#include <string.h>

#include <sys/syscall.h>

#include "base/map.h"
#include "base/mem.h"

#define R(reason) EVENT_REASON_##reason

static const struct wait_row rows[] = {
    /* The kernel, innermost functions that say it all. */
    {WAIT_KERNEL_FUNCTION, R(OTHER), true, WAIT_PLAIN,
     "futex_do_wait futex_wait_queue futex_wait_queue_me futex_wait __futex_wait "
     "futex_wait_multiple futex_wait_requeue_pi futex_wait_restart do_futex",
     "futex: mutex, rwlock, semaphore, condition variable, join"},
    {WAIT_KERNEL_FUNCTION, R(LOCK), false, WAIT_PLAIN, "futex_lock_pi rt_mutex_wait_proxy_lock",
     "priority inheriting mutex"},
    {WAIT_KERNEL_FUNCTION, R(SLEEP), false, WAIT_PLAIN,
     "hrtimer_nanosleep hrtimer_nanosleep_restart do_nanosleep common_nsleep common_nsleep_timens "
     "do_cpu_nanosleep posix_cpu_nsleep posix_cpu_nsleep_restart process_cpu_nsleep "
     "alarmtimer_do_nsleep alarm_timer_nsleep alarm_timer_nsleep_restart "
     "__x64_sys_nanosleep timerfd_read timerfd_read_iter",
     "nanosleep, clock_nanosleep, reading a timer"},
    {WAIT_KERNEL_FUNCTION, R(READY), false, WAIT_PLAIN,
     "poll_schedule_timeout do_poll do_sys_poll do_restart_poll do_select core_sys_select ep_poll "
     "do_epoll_wait "
     "io_cqring_wait io_cqring_wait_schedule __io_cqring_wait_schedule read_events do_io_getevents",
     "poll, select, epoll, waiting for completions"},
    {WAIT_KERNEL_FUNCTION, R(IPC), false, WAIT_PLAIN,
     "pipe_read anon_pipe_read fifo_pipe_read pipe_write anon_pipe_write fifo_pipe_write "
     "pipe_wait pipe_wait_readable pipe_wait_writable wait_for_space ipipe_prep opipe_prep",
     "pipes and fifos, either end"},
    {WAIT_KERNEL_FUNCTION, R(IPC), false, WAIT_PLAIN,
     "wq_sleep do_mq_timedreceive do_mq_timedsend do_msgrcv do_msgsnd",
     "POSIX and System V message queues"},
    {WAIT_KERNEL_FUNCTION, R(IPC), false, WAIT_PLAIN,
     "do_wait __do_wait kernel_wait4 kernel_waitid wait_for_vfork_done kernel_clone _do_fork",
     "the end of a child, a vfork"},
    {WAIT_KERNEL_FUNCTION, R(IPC), false, WAIT_PLAIN, "eventfd_read eventfd_write", "eventfd"},
    {WAIT_KERNEL_FUNCTION, R(SEM), false, WAIT_PLAIN, "do_semtimedop __do_semtimedop",
     "System V semaphores"},
    {WAIT_KERNEL_FUNCTION, R(CONN), false, WAIT_PLAIN,
     "inet_csk_accept inet_csk_wait_for_connect unix_accept vsock_accept do_accept "
     "__sys_accept4 inet_wait_for_connect __inet_stream_connect inet_stream_connect "
     "unix_stream_connect unix_wait_for_peer __sys_connect wait_for_partner fifo_open",
     "accept, connect, opening a fifo"},
    {WAIT_KERNEL_FUNCTION, R(IO_R), false, WAIT_PLAIN,
     "unix_stream_data_wait unix_stream_read_generic unix_dgram_recvmsg __unix_dgram_recvmsg "
     "udp_recvmsg udpv6_recvmsg packet_recvmsg tcp_recvmsg tcp_recvmsg_locked "
     "sock_recvmsg sock_read_iter __sys_recvfrom __sys_recvmsg ___sys_recvmsg ____sys_recvmsg "
     "do_recvmmsg __sys_recvmmsg netlink_recvmsg",
     "reading from a socket"},
    {WAIT_KERNEL_FUNCTION, R(IO_W), false, WAIT_PLAIN,
     "sk_stream_wait_memory sock_alloc_send_pskb sock_wait_for_wmem tcp_sendmsg "
     "tcp_sendmsg_locked unix_stream_sendmsg sock_sendmsg sock_write_iter __sys_sendto "
     "__sys_sendmsg ___sys_sendmsg ____sys_sendmsg __sys_sendmmsg",
     "writing to a socket"},
    {WAIT_KERNEL_FUNCTION, R(IDLE), false, WAIT_PLAIN,
     "do_sigtimedwait sigsuspend __do_sys_pause __x64_sys_pause signalfd_read "
     "signalfd_read_iter inotify_read fanotify_read",
     "waiting for signals, reading signalfd, inotify, fanotify"},
    /* The kernel's own threads in a process: what they do is within these. */
    {WAIT_KERNEL_FUNCTION, R(IDLE), false, WAIT_PLAIN, "io_wq_worker io_wqe_worker io_sq_thread",
     "threads of io_uring that have nothing to do"},
    {WAIT_KERNEL_FUNCTION, R(IO_R), false, WAIT_PLAIN, "io_read", "io_uring: reading"},
    {WAIT_KERNEL_FUNCTION, R(IO_W), false, WAIT_PLAIN, "io_write io_fsync", "io_uring: writing"},
    {WAIT_KERNEL_FUNCTION, R(OTHER), false, WAIT_PLAIN,
     "io_worker_handle_work io_wq_submit_work io_issue_sqe __io_issue_sqe",
     "io_uring: any other request"},
    /* What comes upon a thread from outside, whatever it waited for. */
    {WAIT_KERNEL_FUNCTION, R(OTHER), false, WAIT_PLAIN,
     "do_signal_stop ptrace_stop do_jobctl_trap do_freezer_trap __refrigerator get_signal",
     "stopped, held by a debugger, frozen"},
    {WAIT_KERNEL_FUNCTION, R(LOCK), false, WAIT_PLAIN,
     "rwsem_down_read_slowpath rwsem_down_write_slowpath __mutex_lock_slowpath "
     "mutex_lock __mutex_lock __mutex_lock.constprop.0 down_read down_write "
     "percpu_rwsem_wait percpu_down_write __percpu_down_read "
     "fcntl_setlk flock_lock_inode_wait locks_lock_inode_wait posix_lock_inode_wait",
     "locks of the kernel, file locks"},
    {WAIT_KERNEL_FUNCTION, R(IO_W), false, WAIT_PLAIN,
     "vfs_fsync_range vfs_fsync do_fsync ksys_sync ksys_sync_helper sync_filesystem "
     "balance_dirty_pages balance_dirty_pages_ratelimited_flags file_write_and_wait_range "
     "folio_wait_writeback generic_perform_write iomap_file_buffered_write vfs_write "
     "ksys_write ksys_pwrite64 do_writev vfs_writev do_pwritev do_sendfile do_splice_direct "
     "do_splice vfs_fallocate do_truncate vfs_unlink do_unlinkat "
     "do_renameat2",
     "writing files, syncing them, removing and renaming"},
    {WAIT_KERNEL_FUNCTION, R(CONN), false, WAIT_PLAIN, "path_openat do_filp_open do_sys_openat2",
     "opening a file"},
    {WAIT_KERNEL_FUNCTION, R(IO_R), false, WAIT_PLAIN,
     "filemap_fault do_swap_page filemap_read filemap_get_pages n_tty_read tty_read "
     "wait_for_random_bytes vfs_read ksys_read ksys_pread64 do_readv vfs_readv do_preadv "
     "iterate_dir vfs_statx "
     "user_path_at_empty do_user_addr_fault",
     "reading files, terminals, directories, pages from disk or swap"},
    /* A page that is read, or one that is written back: what is around it knows. */
    {WAIT_KERNEL_FUNCTION, R(IO_R), false, WAIT_INNER,
     "folio_wait_bit_common folio_wait_bit folio_wait_bit_killable __folio_lock "
     "__folio_lock_killable __folio_lock_or_retry folio_put_wait_locked wait_on_page_bit_common "
     "wait_on_page_bit wait_on_page_bit_killable __lock_page __lock_page_killable "
     "__lock_page_or_retry put_and_wait_on_page_locked",
     "a page, where nothing around it says what for"},
    /* System calls, where the kernel function is not seen or says nothing. */
    {WAIT_SYSCALL, R(OTHER), true, WAIT_PLAIN, "futex futex_waitv futex_wait",
     "see the futex arguments"},
    {WAIT_SYSCALL, R(SLEEP), false, WAIT_PLAIN, "nanosleep clock_nanosleep", "sleep"},
    {WAIT_SYSCALL, R(READY), false, WAIT_PLAIN,
     "poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2 io_uring_enter io_getevents",
     "readiness, completions"},
    {WAIT_SYSCALL, R(IPC), false, WAIT_PLAIN,
     "wait4 waitid mq_timedreceive mq_timedsend msgrcv msgsnd vfork", "children, message queues"},
    {WAIT_SYSCALL, R(SEM), false, WAIT_PLAIN, "semop semtimedop", "System V semaphores"},
    {WAIT_SYSCALL, R(CONN), false, WAIT_PLAIN, "connect accept accept4 open openat openat2 creat",
     "connections, opening files"},
    {WAIT_SYSCALL, R(IO_R), false, WAIT_PLAIN,
     "read readv pread64 preadv preadv2 recvfrom recvmsg recvmmsg getdents64 getrandom stat "
     "newfstatat statx readahead",
     "reading"},
    {WAIT_SYSCALL, R(IO_W), false, WAIT_PLAIN,
     "write writev pwrite64 pwritev pwritev2 sendto sendmsg sendmmsg sendfile splice tee fsync "
     "fdatasync sync syncfs sync_file_range msync fallocate ftruncate truncate unlink unlinkat "
     "rename renameat renameat2",
     "writing, syncing"},
    {WAIT_SYSCALL, R(LOCK), false, WAIT_PLAIN, "flock fcntl", "file locks"},
    {WAIT_SYSCALL, R(IDLE), false, WAIT_PLAIN, "pause rt_sigsuspend rt_sigtimedwait", "signals"},
    /* Functions of libc, libstdc++ and std on the user stack. */
    {WAIT_USER_FUNCTION, R(IDLE), false, WAIT_PLAIN,
     "pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait ___pthread_cond_* "
     "__pthread_cond_* cnd_wait cnd_timedwait std::condition_variable* "
     "std::_V2::condition_variable* runtime.notesleep runtime.notetsleep* runtime.stopm",
     "condition variables, parked threads"},
    /* Rust's std, by its own way of mangling (methods are in <>), by that of C++ before, and where
     * its modules were since 1.62: sys_common, sys::unix::locks, sys::pal::unix::locks, sys::locks,
     * sys::sync. */
    {WAIT_USER_FUNCTION, R(LOCK), false, WAIT_OUTER,
     "std::sync::barrier::Barrier::wait* <std::sync::barrier::Barrier>::wait*",
     "Rust: Barrier, whatever it waits with"},
    {WAIT_USER_FUNCTION, R(IDLE), false, WAIT_PLAIN,
     "std::sys::sync::condvar::* <std::sys::sync::condvar::* std::sys::*locks::*condvar::* "
     "<std::sys::*locks::*condvar::* std::sys_common::condvar::* <std::sys_common::condvar::* "
     "std::sync::*condvar::Condvar::wait* <std::sync::*condvar::Condvar>::wait* "
     "std::thread::park* std::thread::functions::park* std::thread::Thread::park* "
     "<std::thread::Thread>::park* std::thread::thread::Thread::park* "
     "<std::thread::thread::Thread>::park* std::sys::sync::thread_parking::* "
     "<std::sys::sync::thread_parking::* std::sys*::thread_parker::* <std::sys*::thread_parker::* "
     "std::sys*::thread_parking::* <std::sys*::thread_parking::* std::sync::mpsc::*recv* "
     "<std::sync::mpsc::*recv* std::sync::mpmc::* <std::sync::mpmc::*",
     "Rust: Condvar, parked threads, channels"},
    {WAIT_USER_FUNCTION, R(LOCK), false, WAIT_PLAIN,
     "std::sys::sync::mutex::* <std::sys::sync::mutex::* std::sys::sync::rwlock::* "
     "<std::sys::sync::rwlock::* std::sys::sync::once::* <std::sys::sync::once::* "
     "std::sys::*locks::*mutex::* <std::sys::*locks::*mutex::* std::sys::*locks::*rwlock::* "
     "<std::sys::*locks::*rwlock::* std::sys::*locks::futex::Mutex::* "
     "std::sys::*locks::futex::RwLock::* std::sys_common::mutex::* <std::sys_common::mutex::* "
     "std::sys_common::rwlock::* <std::sys_common::rwlock::* std::sys_common::once::* "
     "<std::sys_common::once::*",
     "Rust: Mutex, RwLock, Once, OnceLock, LazyLock"},
    /* C++20. libstdc++ waits in templates, whose arguments say for what even where all around them
     * is inlined; in libc++ only these do. */
    {WAIT_USER_FUNCTION, R(IDLE), false, WAIT_PLAIN,
     "*std::__atomic_base<*>::wait(* *std::atomic<*>::wait(* *std::atomic_flag::wait(* "
     "*std::__atomic_impl::wait<* *std::__atomic_futex_unsigned_base::*",
     "std::atomic::wait, std::future"},
    {WAIT_USER_FUNCTION, R(SEM), false, WAIT_PLAIN,
     "*std::counting_semaphore<*>::*acquire* *std::__1::counting_semaphore<*>::*acquire* "
     "*std::__*semaphore*::_M_*acquire* *std::__1::__atomic_semaphore_base::*acquire*",
     "std::counting_semaphore"},
    {WAIT_USER_FUNCTION, R(LOCK), false, WAIT_PLAIN,
     "*std::latch::*wait* *std::__1::latch::*wait* *std::barrier<*>::*wait* "
     "*std::__1::barrier<*>::*wait* *std::__tree_barrier*::*wait* "
     "*std::__1::__barrier_base<*>::*wait*",
     "std::latch, std::barrier"},
    {WAIT_USER_FUNCTION, R(SEM), false, WAIT_PLAIN,
     "sem_wait sem_timedwait sem_clockwait __new_sem_wait* __sem_wait* __sem_timedwait* "
     "do_futex_wait*",
     "POSIX semaphores"},
    {WAIT_USER_FUNCTION, R(LOCK), false, WAIT_PLAIN,
     "pthread_mutex_lock pthread_mutex_timedlock pthread_mutex_clocklock ___pthread_mutex_* "
     "__pthread_mutex_* __lll_lock_wait* lll_lock_wait* pthread_rwlock_* ___pthread_rwlock_* "
     "__pthread_rwlock_* pthread_barrier_wait __pthread_barrier_* mtx_lock mtx_timedlock "
     "__cxa_guard_acquire pthread_once __pthread_once* runtime.lock*",
     "mutexes, rwlocks, barriers"},
    {WAIT_USER_FUNCTION, R(IPC), false, WAIT_PLAIN,
     "pthread_join pthread_timedjoin_np pthread_clockjoin_np __pthread_clockjoin_ex "
     "__pthread_join* thrd_join std::thread::join*",
     "the end of another thread"},
};

const struct wait_row *wait_rows(size_t *n)
{
    *n = sizeof(rows) / sizeof(rows[0]);
    return rows;
}

/* How much of a symbol's name is the function's own: without what compilers and linkers append. */
static size_t plain_length(const char *name)
{
    static const char *const suffixes[] = {".constprop", ".isra", ".part", ".cold", ".llvm", "@"};
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        const char *at = strstr(name, suffixes[i]);
        if (at && at > name && (size_t)(at - name) < len) {
            len = (size_t)(at - name);
        }
    }
    return len;
}

/* Whether all of a name is of a form in which each * stands for anything. */
static bool is_like(const char *form, size_t n, const char *name, size_t len)
{
    size_t f = 0, at = 0, star = SIZE_MAX, star_at = 0;
    while (at < len) {
        if (f < n && form[f] == '*') {
            star = f++;
            star_at = at;
        } else if (f < n && form[f] == name[at]) {
            f++;
            at++;
        } else if (star != SIZE_MAX) {
            f = star + 1; /* it stands for one more */
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (f < n && form[f] == '*') {
        f++;
    }
    return f == n;
}

static bool has_name(const char *names, const char *name, size_t len)
{
    for (const char *at = names; *at;) {
        size_t n = strcspn(at, " ");
        if (is_like(at, n, name, len)) {
            return true;
        }
        at += n;
        at += strspn(at, " ");
    }
    return false;
}

const struct wait_row *wait_row_of(enum wait_evidence evidence, const char *name)
{
    size_t len = plain_length(name);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].evidence == evidence && has_name(rows[i].names, name, len)) {
            return &rows[i];
        }
    }
    return NULL;
}

/* X(name): the system calls of the table that this machine's headers may lack are guarded. */
static const struct {
    long number;
    const char *name;
} syscalls[] = {
#define S(name)                                                                                    \
    {                                                                                              \
        SYS_##name, #name                                                                          \
    }
    S(futex),
    S(nanosleep),
    S(clock_nanosleep),
    S(ppoll),
    S(pselect6),
    S(epoll_pwait),
    S(io_uring_enter),
    S(io_getevents),
    S(wait4),
    S(waitid),
    S(mq_timedreceive),
    S(mq_timedsend),
    S(msgrcv),
    S(msgsnd),
    S(semop),
    S(semtimedop),
    S(connect),
    S(accept),
    S(accept4),
    S(openat),
    S(read),
    S(readv),
    S(pread64),
    S(preadv),
    S(preadv2),
    S(recvfrom),
    S(recvmsg),
    S(recvmmsg),
    S(getdents64),
    S(getrandom),
    S(newfstatat),
    S(statx),
    S(readahead),
    S(write),
    S(writev),
    S(pwrite64),
    S(pwritev),
    S(pwritev2),
    S(sendto),
    S(sendmsg),
    S(sendmmsg),
    S(sendfile),
    S(splice),
    S(tee),
    S(fsync),
    S(fdatasync),
    S(sync),
    S(syncfs),
    S(sync_file_range),
    S(msync),
    S(fallocate),
    S(ftruncate),
    S(truncate),
    S(unlinkat),
    S(renameat2),
    S(flock),
    S(fcntl),
    S(rt_sigsuspend),
    S(rt_sigtimedwait),
#ifdef SYS_poll
    S(poll),
    S(select),
    S(epoll_wait),
    S(open),
    S(creat),
    S(stat),
    S(unlink),
    S(rename),
    S(pause),
    S(vfork),
#endif
#ifdef SYS_renameat
    S(renameat),
#endif
#ifdef SYS_openat2
    S(openat2),
#endif
#ifdef SYS_epoll_pwait2
    S(epoll_pwait2),
#endif
#undef S
    {449, "futex_waitv"}, /* since 5.16 and 6.7, on every machine that we build for */
    {455, "futex_wait"},
};

const char *wait_syscall_name(long number)
{
    for (size_t i = 0; i < sizeof(syscalls) / sizeof(syscalls[0]); i++) {
        if (syscalls[i].number == number) {
            return syscalls[i].name;
        }
    }
    return NULL;
}

/* FUTEX_* of linux/futex.h, that is the same on all machines. */
enum {
    OP_WAIT = 0,
    OP_LOCK_PI = 6,
    OP_WAIT_BITSET = 9,
    OP_WAIT_REQUEUE_PI = 11,
    OP_LOCK_PI2 = 13,
    OP_PRIVATE = WAIT_FUTEX_PRIVATE,
    OP_REALTIME = 0x100,
    OP_COMMAND = 0x7f,
};

enum {
    TID_LEAST = 4,                 /* smaller values are states of shared locks */
    RWLOCK_MOST = 3,               /* what glibc's rwlocks are waited for at: 2 and 3 */
    OWN_STACK_BYTES = 512,         /* from the stack pointer to pthread_cond_wait's own frame */
    RUST_RWLOCK_WAITING = 1 << 30, /* READERS_WAITING, and the lock itself below */
};
static const uint64_t CONDITION_WAITS_MOST = 1ULL << 40; /* a pointer is more */
static const uint32_t MUSL_SEM_WAITED = 0x80000000;
static const uint32_t RUST_WRITERS_WAITING = 0x80000000; /* beside those of the readers */

static uint32_t word_at(const struct wait_futex *f, int offset)
{
    uint32_t word;
    memcpy(&word, f->words + WAIT_FUTEX_BEFORE + offset, sizeof(word));
    return word;
}

static uint64_t long_at(const struct wait_futex *f, int offset)
{
    uint64_t word;
    memcpy(&word, f->words + WAIT_FUTEX_BEFORE + offset, sizeof(word));
    return word;
}

/* Whether the futex is a signal word of a glibc pthread_cond_t (struct __pthread_cond_s): group g
 * at offset 40 + 4 g; before it two reference counts at 16, two sizes at 24, waiters * 8 + flags at
 * 36. The waiting thread itself is in the counts. */
static bool is_old_condition(const struct wait_futex *f, uint32_t g)
{
    int base = -40 - 4 * (int)g;
    uint32_t refs = word_at(f, base + 16 + 4 * (int)g);
    uint32_t waiters = word_at(f, base + 36) >> 3;
    uint32_t sequence = word_at(f, base) >> 1;
    return refs >> 1 >= 1 && refs >> 1 <= waiters && waiters <= 1 << 22 && sequence >= 1;
}

/* The same since 2.41: group g at 32 + 4 g, without reference counts; before it the number of waits
 * so far * 2 at 0, that of those before the first group at 8, waiters * 8 + flags at 28; behind it
 * two words that stay 0. */
static bool is_new_condition(const struct wait_futex *f, uint32_t g)
{
    int base = -32 - 4 * (int)g;
    uint64_t n_waits = long_at(f, base) >> 1, n_before = long_at(f, base + 8) >> 1;
    uint32_t waiters = word_at(f, base + 28) >> 3;
    return waiters >= 1 && waiters <= 1 << 22 && waiters <= n_waits && n_before <= n_waits &&
           n_waits < CONDITION_WAITS_MOST && long_at(f, base + 40) == 0;
}

static bool is_condition(const struct wait_futex *f)
{
    if (!f->words || f->address % 4 != 0) {
        return false;
    }
    uint32_t g = f->address % 8 == 0 ? 0 : 1;
    return (f->value == 0 && is_old_condition(f, g)) || is_new_condition(f, g);
}

/* Whether it is the value of a glibc sem_t (struct new_sem): 0, with waiters in the high word. */
static bool is_semaphore(const struct wait_futex *f)
{
    if (!f->words || f->address % 8 != 0) {
        return false;
    }
    uint32_t waiters = word_at(f, 4);
    uint32_t is_private = word_at(f, 8);
    return word_at(f, 0) == 0 && waiters >= 1 && waiters <= 1 << 22 &&
           (is_private == 0 || is_private == OP_PRIVATE);
}

/* Whether it is what the writers of a Rust RwLock wait for, a count of what was told them: right
 * before it is the state of the lock, that says that it is held and that writers wait. */
static bool is_rust_writer(const struct wait_futex *f)
{
    if (!f->words) {
        return false;
    }
    uint32_t state = word_at(f, -4);
    return state & RUST_WRITERS_WAITING && state & (RUST_RWLOCK_WAITING - 1) &&
           word_at(f, 0) == f->value;
}

/* Whether the futex is the id of a thread in its struct pthread of glibc (nptl/descr.h): behind it
 * are robust_prev and robust_head, which both point to robust_head while the thread holds no robust
 * mutex. */
static bool is_thread_id(const struct wait_futex *f)
{
    uint64_t links[2];
    if (!f->words) {
        return false;
    }
    memcpy(links, f->words + WAIT_FUTEX_BEFORE + 8, sizeof(links));
    return links[0] == f->address + 16 && links[1] == links[0];
}

/* FUTEX_WAIT_BITSET: what glibc and Rust's std wait with. glibc sets the real-time clock, even
 * without a timeout, wherever a caller has not asked for the other one; Rust never does. */
static enum wait_certainty bitset_reason(const struct wait_futex *f, enum event_reason *reason)
{
    bool is_glibc = f->operation & OP_REALTIME;
    if (!is_glibc && is_rust_writer(f)) {
        *reason = EVENT_REASON_LOCK;
    } else if (is_condition(f)) {
        *reason = EVENT_REASON_IDLE;
    } else if (f->value == 0 && (is_semaphore(f) || (is_glibc && !f->words))) {
        *reason = EVENT_REASON_SEM; /* or a condition variable, whose function has a name */
    } else if (f->value == 0 && is_glibc) {
        return WAIT_UNKNOWN;
    } else if (is_glibc && !(f->operation & OP_PRIVATE) && f->value >= TID_LEAST) {
        *reason = EVENT_REASON_IPC; /* pthread_join, of a thread that has not been seen */
    } else if (is_glibc && f->value > RWLOCK_MOST) {
        *reason = EVENT_REASON_IDLE; /* a condition variable since 2.41: signals so far */
    } else if (is_glibc || f->value == 2) {
        *reason = EVENT_REASON_LOCK; /* glibc's rwlock, Rust's mutex */
    } else if (f->value >= RUST_RWLOCK_WAITING && f->value != UINT32_MAX) {
        *reason = EVENT_REASON_LOCK;
    } else {
        *reason = EVENT_REASON_IDLE; /* Rust: thread::park, Condvar */
    }
    return WAIT_GUESS;
}

bool wait_futex_may_count(uint32_t operation, uint32_t value)
{
    return (operation & OP_COMMAND) == OP_WAIT_BITSET && !(operation & OP_REALTIME) && value == 2;
}

/* FUTEX_WAIT: glibc's mutexes and barriers, musl, Go. */
static enum wait_certainty wait_reason(const struct wait_futex *f, enum event_reason *reason)
{
    bool is_own_stack = f->sp && f->address - f->sp < OWN_STACK_BYTES;
    *reason = EVENT_REASON_LOCK; /* contended mutex of glibc, Go, musl; barriers */
    if (f->value == 0 && is_semaphore(f)) {
        *reason = EVENT_REASON_SEM;
    } else if (f->value == 0) {
        *reason =
            EVENT_REASON_IDLE; /* Go: notesleep of an idle worker; no lock that is held is 0 */
    } else if (f->value == UINT32_MAX || f->value == MUSL_SEM_WAITED) {
        *reason = EVENT_REASON_SEM; /* musl: sem_wait, before 1.2.4 and since */
    } else if (f->value == 2 && is_own_stack) {
        *reason = EVENT_REASON_IDLE; /* musl: pthread_cond_wait, at a node on its own stack */
    }
    return WAIT_GUESS;
}

/* The kernel clears a word with the id of a thread when it ends, which glibc waits for. musl waits
 * for the thread's state, DT_JOINABLE, that lies two words behind the id in its struct pthread. */
uint32_t wait_futex_tid(const struct wait_futex *f)
{
    uint32_t command = f->operation & OP_COMMAND, tid = 0;
    if ((command == OP_WAIT || command == OP_WAIT_BITSET) && !(f->operation & OP_PRIVATE)) {
        tid = f->value;
    } else if (command == OP_WAIT && f->value == 2 && f->words) {
        tid = word_at(f, -8);
    }
    return tid <= INT32_MAX ? tid : 0;
}

enum wait_certainty wait_futex_reason(const struct wait_futex *f, enum event_reason *reason)
{
    uint32_t command = f->operation & OP_COMMAND;
    *reason = EVENT_REASON_OTHER;
    if (command == OP_LOCK_PI || command == OP_LOCK_PI2) {
        *reason = EVENT_REASON_LOCK;
        return WAIT_CERTAIN;
    }
    if (command == OP_WAIT_REQUEUE_PI) {
        *reason = EVENT_REASON_IDLE; /* a condition variable with a PI mutex */
        return WAIT_CERTAIN;
    }
    uint32_t tid = wait_futex_tid(f);
    if (f->thread != WAIT_NO_THREAD && tid) {
        /* A lock of the program's own may hold the id of its owner, and one that processes share
         * any number; but glibc's have other values, and nobody else's calls are like glibc's. */
        bool is_join = f->thread == WAIT_THREAD && tid >= TID_LEAST && command == OP_WAIT_BITSET &&
                       f->operation & OP_REALTIME;
        bool is_shared = !(f->operation & OP_PRIVATE);
        bool is_certain = is_shared && (is_join || is_thread_id(f));
        *reason = is_shared && f->words && !is_certain ? EVENT_REASON_LOCK : EVENT_REASON_IPC;
        return is_certain ? WAIT_CERTAIN : WAIT_GUESS;
    }
    return command == OP_WAIT_BITSET ? bitset_reason(f, reason)
           : command == OP_WAIT      ? wait_reason(f, reason)
                                     : WAIT_UNKNOWN;
}

/* ---- kernel addresses ---- */

void wait_kernel_free(struct wait_kernel *k)
{
    free(k->ranges);
    *k = (struct wait_kernel){0};
}

static int by_start(const void *a, const void *b)
{
    const struct wait_range *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* The kernel itself comes in order; modules and their like need not. */
static void sort_by_start(struct wait_kernel *k)
{
    for (size_t i = 1; i < k->n; i++) {
        if (k->ranges[i].start < k->ranges[i - 1].start) {
            qsort(k->ranges, k->n, sizeof(*k->ranges), by_start);
            return;
        }
    }
}

/* Keeps what has a row; end is where the next symbol begins. */
static void keep_known(struct wait_kernel *k)
{
    size_t n = 0;
    sort_by_start(k);
    for (size_t i = 0; i < k->n; i++) {
        size_t next = i + 1;
        while (next < k->n && k->ranges[next].start == k->ranges[i].start) {
            next++;
        }
        if (k->ranges[i].row || k->ranges[i].is_soft_irq_call || k->ranges[i].is_futex_call) {
            struct wait_range range = k->ranges[i];
            range.end = next < k->n ? k->ranges[next].start : range.start + 4096;
            k->ranges[n++] = range;
        }
    }
    k->n = n;
}

/* The kernel has some 100,000 functions: their names are looked up by hash. */
static void index_names(struct strmap *names)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (const char *at = rows[i].names; rows[i].evidence == WAIT_KERNEL_FUNCTION && *at;) {
            size_t n = strcspn(at, " ");
            uint32_t *id = strmap_put(names, at, n);
            *id = *id ? *id : (uint32_t)i + 1;
            at += n;
            at += strspn(at, " ");
        }
    }
}

/* The row of the system call that a function is the entry of. */
static const struct wait_row *row_of_entry(const char *name, size_t len)
{
    static const char *const prefixes[] = {"__x64_sys_", "__arm64_sys_", "__do_sys_", "__se_sys_"};
    char call[64];
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t n = strlen(prefixes[i]);
        if (len > n && len - n < sizeof(call) && memcmp(name, prefixes[i], n) == 0) {
            memcpy(call, name + n, len - n);
            call[len - n] = 0;
            return wait_row_of(WAIT_SYSCALL, call);
        }
    }
    return NULL;
}

static const struct wait_row *row_of_line(const struct strmap *names, const char *name, size_t len)
{
    const char *dot = memchr(name, '.', len);
    uint32_t id = strmap_get(names, name, dot && dot > name ? (size_t)(dot - name) : len);
    return id ? &rows[id - 1] : row_of_entry(name, len);
}

/* kernel/softirq.c: both ways lead to handle_softirqs() or __do_softirq(), as irq_exit_rcu() does.
 */
static const char soft_irq_calls[] = "do_softirq __local_bh_enable_ip";
/* futex_wait(2) and futex_waitv(2) have other arguments, and do not go through do_futex(). A call
 * that goes on after a stop does neither, but has the arguments it had. */
static const char futex_calls[] = "do_futex __x64_sys_futex __arm64_sys_futex futex_wait_restart";

void wait_kernel_read(struct wait_kernel *k, const char *text, size_t len)
{
    const char *end = text + len;
    struct strmap names = {0};
    index_names(&names);
    for (const char *at = text; at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        eol = eol ? eol : end;
        char *rest;
        uint64_t address = strtoull(at, &rest, 16);
        /* "ffffffff81000000 T name", then a tab and the module. */
        if (address && rest + 3 < eol && rest[0] == ' ' && strchr("tTwW", rest[1])) {
            const char *name = rest + 3;
            const char *tab = memchr(name, '\t', (size_t)(eol - name));
            size_t n = (size_t)((tab ? tab : eol) - name);
            mem_reserve(&k->ranges, &k->cap, k->n + 1, sizeof(*k->ranges));
            k->ranges[k->n++] =
                (struct wait_range){.start = address,
                                    .row = row_of_line(&names, name, n),
                                    .is_soft_irq_call = has_name(soft_irq_calls, name, n),
                                    .is_futex_call = has_name(futex_calls, name, n)};
        }
        at = eol + 1;
    }
    strmap_free(&names);
    keep_known(k);
}

/* The range of one of our functions that holds the address; NULL: none does. */
static const struct wait_range *range_of(const struct wait_kernel *k, uint64_t address)
{
    size_t low = 0, high = k->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (k->ranges[middle].start <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low && address < k->ranges[low - 1].end ? &k->ranges[low - 1] : NULL;
}

bool wait_kernel_is_soft_irq_call(const struct wait_kernel *k, const uint64_t *addresses, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct wait_range *range = range_of(k, addresses[i]);
        if (range && range->is_soft_irq_call) {
            return true;
        }
    }
    return false;
}

bool wait_kernel_is_futex_call(const struct wait_kernel *k, const uint64_t *addresses, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct wait_range *range = range_of(k, addresses[i]);
        if (range && range->is_futex_call) {
            return true;
        }
    }
    return false;
}

const struct wait_row *wait_kernel_row(const struct wait_kernel *k, const uint64_t *addresses,
                                       size_t n)
{
    const struct wait_row *inner = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct wait_range *range = range_of(k, addresses[i]);
        if (range && range->row && range->row->rank != WAIT_INNER) {
            return range->row;
        }
        inner = range && range->row && !inner ? range->row : inner;
    }
    return inner;
}
