/* tasks.c - see tasks.h. */
#include "ingest/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

static void last_stack_free(struct last_stack *last)
{
    free(last->addresses);
    free(last->callsites);
    *last = (struct last_stack){0};
}

void tasks_free(struct tasks *t)
{
    for (size_t i = 0; i < t->n_processes; i++) {
        free(t->processes[i].name);
        free(t->processes[i].cmdline);
        space_unref(t->processes[i].space);
    }
    for (size_t i = 0; i < t->n_threads; i++) {
        free(t->threads[i].name);
        last_stack_free(&t->threads[i].last);
    }
    free(t->processes);
    free(t->threads);
    free(t->touched);
    free(t->changed_processes);
    free(t->changed_threads);
    map_free(&t->by_pid);
    map_free(&t->by_tid);
    *t = (struct tasks){0};
}

void tasks_touch(struct tasks *t, uint32_t utid)
{
    struct thread *th = tasks_thread(t, utid);
    if (!th->has_new_sums) {
        th->has_new_sums = true;
        mem_reserve(&t->touched, &t->cap_touched, t->n_touched + 1, sizeof(*t->touched));
        t->touched[t->n_touched++] = utid;
    }
}

static void change_process(struct tasks *t, uint32_t upid)
{
    struct process *p = tasks_process(t, upid);
    if (!p->is_changed) {
        p->is_changed = true;
        mem_reserve(&t->changed_processes, &t->cap_changed_processes, t->n_changed_processes + 1,
                    sizeof(*t->changed_processes));
        t->changed_processes[t->n_changed_processes++] = upid;
    }
}

static void change_thread(struct tasks *t, uint32_t utid)
{
    struct thread *th = tasks_thread(t, utid);
    if (!th->is_changed) {
        th->is_changed = true;
        mem_reserve(&t->changed_threads, &t->cap_changed_threads, t->n_changed_threads + 1,
                    sizeof(*t->changed_threads));
        t->changed_threads[t->n_changed_threads++] = utid;
    }
}

static uint64_t tid_key(int32_t pid, int32_t tid)
{
    return map_pair((uint32_t)pid, (uint32_t)tid);
}

static char *clean(const char *s, size_t len)
{
    struct buf b = {0};
    text_clean(&b, s, len);
    return buf_take(&b);
}

/* Arguments separated by NUL become words separated by spaces; NULL when there are none. */
static char *clean_cmdline(const char *s, size_t len)
{
    if (len == 0) {
        return NULL;
    }
    char *words = mem_new(len + 1, 1);
    for (size_t i = 0; i < len; i++) {
        words[i] = s[i] ? s[i] : ' ';
    }
    while (len && words[len - 1] == ' ') {
        len--;
    }
    char *text = clean(words, len);
    free(words);
    return text;
}

static void set_text(char **field, char *text)
{
    free(*field);
    *field = text;
}

uint32_t tasks_start_process(struct tasks *t, int64_t ts, int32_t pid, int32_t parent_pid,
                             const char *name, size_t name_len, const char *cmdline,
                             size_t cmdline_len)
{
    uint32_t parent = parent_pid ? map_get(&t->by_pid, (uint64_t)(uint32_t)parent_pid) : 0;
    mem_reserve(&t->processes, &t->cap_processes, t->n_processes + 1, sizeof(*t->processes));
    struct process *p = &t->processes[t->n_processes];
    *p = (struct process){
        .upid = (uint32_t)t->n_processes + 1, .pid = pid, .parent_upid = parent, .start_ts = ts};
    const struct process *from = parent ? tasks_process(t, parent) : NULL;
    p->name = name_len || !from ? clean(name, name_len) : mem_strdup(from->name);
    p->cmdline = cmdline_len || !from || !from->cmdline ? clean_cmdline(cmdline, cmdline_len)
                                                        : mem_strdup(from->cmdline);
    p->space = from && from->space ? space_ref(from->space) : space_new();
    p->has_file = from && from->has_file;
    p->jit = (struct process_jit){.space = from ? from->jit.space : NULL, .fork_ts = ts};
    uint32_t upid = (uint32_t)++t->n_processes;
    *map_put(&t->by_pid, (uint64_t)(uint32_t)pid) = upid;
    return upid;
}

void tasks_end_process(struct tasks *t, int64_t ts, int32_t pid)
{
    uint32_t upid = map_get(&t->by_pid, (uint64_t)(uint32_t)pid);
    if (upid) {
        struct process *p = tasks_process(t, upid);
        p->end_ts = ts;
        space_unref(p->space);
        p->space = NULL;
        p->version++;
        change_process(t, upid);
    }
}

uint32_t tasks_upid(struct tasks *t, int64_t ts, int32_t pid)
{
    uint32_t upid = map_get(&t->by_pid, (uint64_t)(uint32_t)pid);
    return upid ? upid : tasks_start_process(t, ts, pid, 0, "?", 1, NULL, 0);
}

void tasks_exec(struct tasks *t, int64_t ts, int32_t pid, const char *name, size_t name_len,
                const char *cmdline, size_t cmdline_len)
{
    uint32_t upid = tasks_upid(t, ts, pid);
    struct process *p = tasks_process(t, upid);
    set_text(&p->name, clean(name, name_len));
    set_text(&p->cmdline, clean_cmdline(cmdline, cmdline_len));
    space_unref(p->space);
    p->space = space_new();
    p->jit = (struct process_jit){0};
    p->version++;
    p->root = 0;
    p->has_file = false;
    change_process(t, upid);
}

uint32_t tasks_start_thread(struct tasks *t, int64_t ts, int32_t pid, int32_t tid, const char *name,
                            size_t name_len)
{
    uint32_t upid = tasks_upid(t, ts, pid);
    mem_reserve(&t->threads, &t->cap_threads, t->n_threads + 1, sizeof(*t->threads));
    struct thread *th = &t->threads[t->n_threads];
    *th = (struct thread){.upid = upid, .tid = tid, .start_ts = ts, .bucket.bucket = -1};
    th->name = name_len ? clean(name, name_len) : mem_strdup(tasks_process(t, upid)->name);
    uint32_t utid = (uint32_t)++t->n_threads;
    *map_put(&t->by_tid, tid_key(pid, tid)) = utid;
    return utid;
}

uint32_t tasks_utid(struct tasks *t, int64_t ts, int32_t pid, int32_t tid)
{
    uint32_t utid = map_get(&t->by_tid, tid_key(pid, tid));
    return utid ? utid : tasks_start_thread(t, ts, pid, tid, NULL, 0);
}

void tasks_start_later(struct tasks *t, uint32_t utid, int64_t ts)
{
    tasks_thread(t, utid)->start_ts = ts;
    change_thread(t, utid);
}

void tasks_end_thread(struct tasks *t, int64_t ts, int32_t pid, int32_t tid)
{
    uint32_t utid = map_get(&t->by_tid, tid_key(pid, tid));
    if (utid) {
        struct thread *th = tasks_thread(t, utid);
        th->end_ts = ts;
        change_thread(t, utid);
        last_stack_free(&th->last);
    }
}

void tasks_name_thread(struct tasks *t, int64_t ts, int32_t pid, int32_t tid, const char *name,
                       size_t name_len)
{
    uint32_t utid = tasks_utid(t, ts, pid, tid);
    set_text(&tasks_thread(t, utid)->name, clean(name, name_len));
    change_thread(t, utid);
}
