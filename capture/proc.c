/* proc.c - see proc.h. */
#include "capture/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

enum {
    STAT_BYTES_MAX = 4096,
    NAME_BYTES_MAX = 64,
    STATUS_BYTES_MAX = 16384,
    MAPS_BYTES_MAX = 64 << 20, /* 50,000 mappings are about 5 MB */
    CPUS_MAX = 4096,
    PATH_BYTES = 64,
};

/* PF_EXITING of the kernel's flags (linux/sched.h), which proc_pid_stat(5) shows. */
static const uint64_t TASK_IS_EXITING = 4;
static const int64_t START_NS = 200000000; /* start times are rounded to 10 ms */

/* A read position in text; numbers that are not there stick as is_bad. */
struct scan {
    const char *at, *end;
    bool is_bad;
};

static uint64_t scan_number(struct scan *s, unsigned base)
{
    uint64_t value = 0;
    const char *start = s->at;
    for (; s->at < s->end; s->at++) {
        unsigned char ch = (unsigned char)*s->at;
        unsigned digit = isdigit(ch)              ? ch - (unsigned)'0'
                         : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10u
                                                  : 99u;
        if (digit >= base || value > (UINT64_MAX - digit) / base) {
            break;
        }
        value = value * base + digit;
    }
    s->is_bad |= s->at == start;
    return value;
}

static void scan_char(struct scan *s, char expected)
{
    if (s->at < s->end && *s->at == expected) {
        s->at++;
    } else {
        s->is_bad = true;
    }
}

/* Moves past n fields that end in a space. */
static void scan_skip(struct scan *s, unsigned n)
{
    for (; n; n--) {
        while (s->at < s->end && *s->at != ' ') {
            s->at++;
        }
        scan_char(s, ' ');
    }
}

int proc_parse_stat(const char *text, size_t len, struct proc_stat *stat)
{
    /* The name is in parentheses and may hold parentheses itself: the last one ends it. */
    const char *name_end = memrchr(text, ')', len);
    if (!name_end) {
        return STAX_ECORRUPT;
    }
    struct scan s = {name_end + 1, text + len, false};
    scan_char(&s, ' ');
    stat->state = s.at < s.end ? *s.at : '?';
    scan_skip(&s, 1);
    uint64_t parent = scan_number(&s, 10);
    scan_char(&s, ' ');
    scan_skip(&s, 4); /* fields 5 to 8 */
    uint64_t flags = scan_number(&s, 10);
    scan_char(&s, ' ');
    scan_skip(&s, 4); /* fields 10 to 13 */
    uint64_t user = scan_number(&s, 10);
    scan_char(&s, ' ');
    uint64_t system = scan_number(&s, 10);
    scan_char(&s, ' ');
    scan_skip(&s, 6); /* fields 16 to 21 */
    uint64_t start = scan_number(&s, 10);
    if (s.is_bad || parent > INT32_MAX || start > INT64_MAX) {
        return STAX_ECORRUPT;
    }
    stat->is_exiting = flags & TASK_IS_EXITING;
    stat->parent_pid = (pid_t)parent;
    stat->cpu_ticks = user + system;
    stat->start_ticks = (int64_t)start;
    return 0;
}

/* Appends /proc/PID/FILE or, with a tid, /proc/PID/task/TID/FILE. A file that is larger is cut. */
static int read_proc(pid_t pid, pid_t tid, const char *file, size_t limit, struct buf *out)
{
    char path[PATH_BYTES];
    if (tid) {
        snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, file);
    } else {
        snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    }
    int rc = fd_read_file(path, limit, out);
    if (rc == -EACCES || rc == -EPERM) {
        return STAX_EPERMISSION;
    }
    return rc == 0 || rc == -EFBIG ? 0 : STAX_ENOTFOUND;
}

int proc_read_stat(pid_t pid, pid_t tid, struct proc_stat *stat)
{
    struct buf text = {0};
    int rc = read_proc(pid, tid, "stat", STAT_BYTES_MAX, &text);
    if (rc == 0) {
        rc = proc_parse_stat(buf_str(&text), text.len, stat);
    }
    buf_free(&text);
    return rc;
}

bool proc_was_there(const struct proc_stat *stat, int64_t boot_ns)
{
    int64_t tick_ns = 1000000000LL / sysconf(_SC_CLK_TCK), start_ns;
    return !__builtin_mul_overflow(stat->start_ticks, tick_ns, &start_ns) &&
           start_ns - START_NS <= boot_ns;
}

static bool parse_mapping_line(const char *line, size_t len, struct proc_mapping *m)
{
    struct scan s = {line, line + len, false};
    m->start = scan_number(&s, 16);
    scan_char(&s, '-');
    m->end = scan_number(&s, 16);
    scan_char(&s, ' ');
    if (s.is_bad || s.end - s.at < 5) {
        return false;
    }
    m->is_executable = s.at[2] == 'x';
    scan_skip(&s, 1);
    m->file_offset = scan_number(&s, 16);
    scan_char(&s, ' ');
    uint64_t major = scan_number(&s, 16);
    scan_char(&s, ':');
    uint64_t minor = scan_number(&s, 16);
    scan_char(&s, ' ');
    m->device = major << 32 | (minor & UINT32_MAX);
    m->inode = scan_number(&s, 10);
    while (s.at < s.end && *s.at == ' ') {
        s.at++;
    }
    m->path = s.at;
    m->path_len = (size_t)(s.end - s.at);
    return !s.is_bad && m->start < m->end;
}

bool proc_next_mapping(const char *text, size_t len, size_t *at, struct proc_mapping *mapping,
                       size_t *n_bad)
{
    while (*at < len) {
        const char *line = text + *at;
        const char *newline = memchr(line, '\n', len - *at);
        size_t line_len = newline ? (size_t)(newline - line) : len - *at;
        *at += line_len + (newline != NULL);
        if (parse_mapping_line(line, line_len, mapping)) {
            return true;
        }
        ++*n_bad;
    }
    return false;
}

int proc_read_maps(pid_t pid, struct buf *text)
{
    return read_proc(pid, 0, "maps", MAPS_BYTES_MAX, text);
}

int proc_read_name(pid_t pid, pid_t tid, struct buf *name)
{
    int rc = read_proc(pid, tid, "comm", NAME_BYTES_MAX, name);
    if (rc == 0 && name->len && name->data[name->len - 1] == '\n') {
        name->data[--name->len] = '\0';
    }
    return rc;
}

int proc_read_cmdline(pid_t pid, size_t limit, struct buf *cmdline)
{
    int rc = read_proc(pid, 0, "cmdline", limit, cmdline);
    while (rc == 0 && cmdline->len && cmdline->data[cmdline->len - 1] == '\0') {
        cmdline->len--;
    }
    return rc;
}

int proc_read_group(pid_t tid, pid_t *pid)
{
    struct buf text = {0};
    int rc = read_proc(tid, 0, "status", STATUS_BYTES_MAX, &text);
    const char *line = strstr(buf_str(&text), "\nTgid:\t");
    if (rc == 0 && line) {
        *pid = (pid_t)strtol(line + strlen("\nTgid:\t"), NULL, 10);
    } else if (rc == 0) {
        rc = STAX_ECORRUPT;
    }
    buf_free(&text);
    return rc;
}

void pid_list_free(struct pid_list *list)
{
    free(list->pids);
    *list = (struct pid_list){0};
}

static void pid_list_add(struct pid_list *list, pid_t pid)
{
    mem_reserve(&list->pids, &list->cap, list->n + 1, sizeof(*list->pids));
    list->pids[list->n++] = pid;
}

/* Appends the entries of a folder whose names are numbers. */
static int list_numbers(const char *path, struct pid_list *list)
{
    DIR *dir = opendir(path);
    if (!dir) {
        return errno == EACCES || errno == EPERM ? STAX_EPERMISSION : STAX_ENOTFOUND;
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        struct scan s = {entry->d_name, entry->d_name + strlen(entry->d_name), false};
        uint64_t pid = scan_number(&s, 10);
        if (!s.is_bad && s.at == s.end && pid > 0 && pid <= INT32_MAX) {
            pid_list_add(list, (pid_t)pid);
        }
    }
    closedir(dir);
    return 0;
}

int proc_list_threads(pid_t pid, struct pid_list *list)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    return list_numbers(path, list);
}

bool proc_is_alive(pid_t pid)
{
    struct proc_stat stat;
    if (proc_read_stat(pid, 0, &stat) != 0) {
        return false;
    }
    if (stat.state != 'Z' && stat.state != 'X') {
        return true;
    }
    /* A main thread that ended before the others shows as a zombie too. */
    struct pid_list threads = {0};
    bool is_alive = proc_list_threads(pid, &threads) == 0 && threads.n > 1;
    pid_list_free(&threads);
    return is_alive;
}

struct family {
    pid_t pid, parent_pid;
};

static int compare_parent(const void *left, const void *right)
{
    const struct family *a = left, *b = right;
    return (a->parent_pid > b->parent_pid) - (a->parent_pid < b->parent_pid);
}

/* Appends the children of parent_pid; all is sorted by parent. */
static void add_children(const struct family *all, size_t n, pid_t parent_pid,
                         struct pid_list *list)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (all[mid].parent_pid < parent_pid) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; lo < n && all[lo].parent_pid == parent_pid; lo++) {
        pid_list_add(list, all[lo].pid);
    }
}

int proc_list_descendants(pid_t root, struct pid_list *list)
{
    struct pid_list pids = {0};
    int rc = list_numbers("/proc", &pids);
    struct family *all = mem_new(pids.n + 1, sizeof(*all));
    size_t n = 0;
    for (size_t i = 0; i < pids.n; i++) {
        struct proc_stat stat;
        if (pids.pids[i] != root && proc_read_stat(pids.pids[i], 0, &stat) == 0) {
            all[n++] = (struct family){pids.pids[i], stat.parent_pid};
        }
    }
    qsort(all, n, sizeof(*all), compare_parent);
    size_t first = list->n;
    pid_list_add(list, root);
    /* Each process has one parent and the table one row a process, so this ends; the bound is for
     * pids that were reused while we read. */
    for (size_t i = first; i < list->n && list->n - first <= n; i++) {
        add_children(all, n, list->pids[i], list);
    }
    free(all);
    pid_list_free(&pids);
    return rc;
}

int proc_parse_cpus(const char *text, struct pid_list *cpus)
{
    struct scan s = {text, text + strcspn(text, "\n"), false};
    while (s.at < s.end && !s.is_bad) {
        uint64_t first = scan_number(&s, 10), last = first;
        if (s.at < s.end && *s.at == '-') {
            s.at++;
            last = scan_number(&s, 10);
        }
        if (s.at < s.end) {
            scan_char(&s, ',');
        }
        if (s.is_bad || last < first || last >= CPUS_MAX) {
            return STAX_ECORRUPT;
        }
        for (uint64_t cpu = first; cpu <= last; cpu++) {
            pid_list_add(cpus, (pid_t)cpu);
        }
    }
    return cpus->n && !s.is_bad ? 0 : STAX_ECORRUPT;
}
