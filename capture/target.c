/* target.c - see target.h. */
#include "capture/target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The map cannot forget a key, so a removed one keeps its place under this id. */
static const uint32_t TARGET_REMOVED = UINT32_MAX;
enum { REBUILD_MIN = 1024 };

static uint32_t find(const struct map *m, int32_t id)
{
    uint32_t found = map_get(m, (uint32_t)id);
    return found == TARGET_REMOVED ? 0 : found;
}

struct target_process *target_process(const struct target *t, int32_t pid)
{
    uint32_t found = find(&t->by_pid, pid);
    return found ? t->processes[found - 1] : NULL;
}

struct target_thread *target_thread(const struct target *t, int32_t tid)
{
    uint32_t found = find(&t->by_tid, tid);
    return found ? t->threads[found - 1] : NULL;
}

/* A target that forks for hours would fill the maps with removed keys: start over with the living
 * when those are few. */
static void rebuild_maps(struct target *t)
{
    if (t->by_pid.n_used > REBUILD_MIN + 2 * t->n_processes) {
        map_free(&t->by_pid);
        for (uint32_t i = 0; i < t->n_process_slots; i++) {
            if (t->processes[i]) {
                *map_put(&t->by_pid, (uint32_t)t->processes[i]->pid) = i + 1;
            }
        }
    }
    if (t->by_tid.n_used > REBUILD_MIN + 2 * t->n_threads) {
        map_free(&t->by_tid);
        for (uint32_t i = 0; i < t->n_thread_slots; i++) {
            if (t->threads[i]) {
                *map_put(&t->by_tid, (uint32_t)t->threads[i]->tid) = i + 1;
            }
        }
    }
}

struct target_process *target_add_process(struct target *t, int32_t pid)
{
    assert(!target_process(t, pid));
    rebuild_maps(t);
    struct target_process *p = mem_new(1, sizeof(*p));
    p->pid = pid;
    if (t->n_free_processes) {
        p->slot = t->free_processes[--t->n_free_processes];
    } else {
        mem_reserve(&t->processes, &t->cap_processes, t->n_process_slots + 1,
                    sizeof(*t->processes));
        p->slot = (uint32_t)t->n_process_slots++;
    }
    t->processes[p->slot] = p;
    *map_put(&t->by_pid, (uint32_t)pid) = p->slot + 1;
    t->n_processes++;
    return p;
}

struct target_thread *target_add_thread(struct target *t, struct target_process *p, int32_t tid)
{
    assert(!target_thread(t, tid));
    rebuild_maps(t);
    struct target_thread *thread = mem_new(1, sizeof(*thread));
    thread->tid = tid;
    thread->process = p;
    thread->next = p->threads;
    if (p->threads) {
        p->threads->prev = thread;
    }
    p->threads = thread;
    p->n_threads++;
    if (t->n_free_threads) {
        thread->slot = t->free_threads[--t->n_free_threads];
    } else {
        mem_reserve(&t->threads, &t->cap_threads, t->n_thread_slots + 1, sizeof(*t->threads));
        thread->slot = (uint32_t)t->n_thread_slots++;
    }
    t->threads[thread->slot] = thread;
    *map_put(&t->by_tid, (uint32_t)tid) = thread->slot + 1;
    t->n_threads++;
    return thread;
}

void target_remove_thread(struct target *t, struct target_thread *thread)
{
    struct target_process *p = thread->process;
    if (thread->prev) {
        thread->prev->next = thread->next;
    } else {
        p->threads = thread->next;
    }
    if (thread->next) {
        thread->next->prev = thread->prev;
    }
    p->n_threads--;
    *map_put(&t->by_tid, (uint32_t)thread->tid) = TARGET_REMOVED;
    t->threads[thread->slot] = NULL;
    mem_reserve(&t->free_threads, &t->cap_free_threads, t->n_free_threads + 1,
                sizeof(*t->free_threads));
    t->free_threads[t->n_free_threads++] = thread->slot;
    t->n_threads--;
    free(thread->waits.stack.addresses);
    thread_counters_free(&thread->counters);
    free(thread->waits.parked.addresses);
    free(thread);
}

void target_remove_process(struct target *t, struct target_process *p)
{
    while (p->threads) {
        target_remove_thread(t, p->threads);
    }
    *map_put(&t->by_pid, (uint32_t)p->pid) = TARGET_REMOVED;
    t->processes[p->slot] = NULL;
    mem_reserve(&t->free_processes, &t->cap_free_processes, t->n_free_processes + 1,
                sizeof(*t->free_processes));
    t->free_processes[t->n_free_processes++] = p->slot;
    t->n_processes--;
    target_clear_space(p);
    free(p->cmdline);
    free(p);
}

struct target_process *target_next(const struct target *t, size_t *slot)
{
    while (*slot < t->n_process_slots) {
        struct target_process *p = t->processes[(*slot)++];
        if (p) {
            return p;
        }
    }
    return NULL;
}

void target_set_name(struct target_name *name, const char *text, size_t len)
{
    name->len = (uint32_t)(len < sizeof(name->text) ? len : sizeof(name->text));
    if (name->len) {
        memcpy(name->text, text, name->len);
    }
}

void target_set_cmdline(struct target_process *p, const char *text, size_t len)
{
    char *copy = len ? mem_new(len, 1) : NULL;
    if (len) {
        memcpy(copy, text, len);
    }
    free(p->cmdline);
    p->cmdline = copy;
    p->cmdline_len = len;
}

void target_clear_space(struct target_process *p)
{
    address_space_unref(p->space);
    p->space = NULL;
}

void target_clear(struct target *t)
{
    for (size_t i = 0; i < t->n_process_slots; i++) {
        if (t->processes[i]) {
            target_remove_process(t, t->processes[i]);
        }
    }
    free(t->processes);
    free(t->threads);
    free(t->free_processes);
    free(t->free_threads);
    map_free(&t->by_pid);
    map_free(&t->by_tid);
    *t = (struct target){0};
}
