/*
 * proc.h - what /proc says about processes, threads and their mappings.
 *
 * The parsers take text and trust none of it: names and paths are the target's own words. Readers
 * return 0 or a negative enum stax_err; STAX_ENOTFOUND when the process or thread is gone.
 * Any thread; nothing is kept.
 */
#ifndef STAX_CAPTURE_PROC_H
#define STAX_CAPTURE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct proc_stat {
    char state;          /* 'R', 'S', 'Z' (zombie), 'X' (dead), ... */
    bool is_exiting;     /* it has begun to end; in any state */
    pid_t parent_pid;    /* */
    uint64_t cpu_ticks;  /* used so far, user's and kernel's */
    int64_t start_ticks; /* since boot; both in 1 / sysconf(_SC_CLK_TCK) s */
};

/* Parses /proc/PID/stat, whose second field may hold any bytes. 0 or STAX_ECORRUPT. */
int proc_parse_stat(const char *text, size_t len, struct proc_stat *stat);
/* tid 0: of the process. */
int proc_read_stat(pid_t pid, pid_t tid, struct proc_stat *stat);
/* Whether a process or thread was there at a time of CLOCK_BOOTTIME, ns; false: it is another one,
 * that was given the same id later. /proc rounds, so one 0.2 s younger passes. Both count while the
 * machine is suspended: CLOCK_MONOTONIC does not, and hours of that would make any process old. */
bool proc_was_there(const struct proc_stat *stat, int64_t boot_ns);
/* Whether a process is there and not a zombie. */
bool proc_is_alive(pid_t pid);

struct proc_mapping {
    uint64_t start, end; /* virtual addresses */
    uint64_t file_offset;
    uint64_t device; /* major << 32 | minor */
    uint64_t inode;
    bool is_executable;
    const char *path; /* not terminated, in the text; "" if none. A newline in it reads \012 */
    size_t path_len;
};

/* The next well-formed line of /proc/PID/maps from offset *at on, which moves past it; false at the
 * end. Lines that make no sense are passed over and counted in *n_bad. */
bool proc_next_mapping(const char *text, size_t len, size_t *at, struct proc_mapping *mapping,
                       size_t *n_bad);
/* Appends the maps file of a process. */
int proc_read_maps(pid_t pid, struct buf *text);

/* Appends the name of a thread (tid 0: of the process) without its newline; the arguments,
 * separated by NUL. */
int proc_read_name(pid_t pid, pid_t tid, struct buf *name);
int proc_read_cmdline(pid_t pid, size_t limit, struct buf *cmdline);
/* The thread group a task belongs to. */
int proc_read_group(pid_t tid, pid_t *pid);

struct pid_list {
    pid_t *pids;
    size_t n, cap;
};

void pid_list_free(struct pid_list *list);
/* Appends the threads of a process. */
int proc_list_threads(pid_t pid, struct pid_list *list);
/* Appends root and every process that descends from it, by parent pids, parents first. */
int proc_list_descendants(pid_t root, struct pid_list *list);

/* CPU numbers of a list such as "0-3,8". 0 or STAX_ECORRUPT. */
int proc_parse_cpus(const char *text, struct pid_list *cpus);

#endif
