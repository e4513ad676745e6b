/*
 * waits_futex.c - the futex calls of runtimes that have no libc below them, one thread each; see
 * waiter.h. No function is called as theirs are, so that the arguments alone tell what it is.
 */
#include <sys/syscall.h>

#include "waiter.h"

enum {
    WAIT = 0x80, /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG, and so on */
    WAKE = 0x81,
    WAIT_BITSET = 0x89,
    RUST_PARKED = -1,
    RUST_WRITE_LOCKED = 0x3fffffff,
    RUST_READERS_WAITING = 1 << 30,
};
static const uint32_t MUSL_WAITED = 0x80000000, MUSL_BUSY = 16;

/* Waits while the word is as it was when the round began; value says how the others see it. */
static void wait_at(uint32_t *word, int operation, uint32_t value)
{
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) {
        syscall(SYS_futex, word, operation, value, NULL, NULL, -1);
    }
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static void end_at(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, word, WAKE, 1, NULL, NULL, 0);
}

#define DEFINE_FUTEX(name, operation, held, freed)                                                 \
    static void prepare_##name(struct waiter *w)                                                   \
    {                                                                                              \
        w->futex = (uint32_t)(held);                                                               \
    }                                                                                              \
    static void wait_##name(struct waiter *w)                                                      \
    {                                                                                              \
        wait_at(&w->futex, operation, (uint32_t)(held));                                           \
    }                                                                                              \
    static void end_##name(struct waiter *w)                                                       \
    {                                                                                              \
        end_at(&w->futex, (uint32_t)(freed));                                                      \
    }

DEFINE_FUTEX(go_note, WAIT, 0, 1)  /* runtime.notesleep: an idle worker */
DEFINE_FUTEX(go_mutex, WAIT, 2, 0) /* runtime.lock2 */
DEFINE_FUTEX(rust_park, WAIT_BITSET, RUST_PARKED, 1)
DEFINE_FUTEX(rust_mutex, WAIT_BITSET, 2, 0)
DEFINE_FUTEX(rust_condvar, WAIT_BITSET, 41, 42)
DEFINE_FUTEX(rust_rwlock, WAIT_BITSET, RUST_WRITE_LOCKED | RUST_READERS_WAITING, 0)
DEFINE_FUTEX(musl_sem, WAIT, MUSL_WAITED, 1)
DEFINE_FUTEX(musl_mutex, WAIT, MUSL_WAITED | MUSL_BUSY, 0)

/* musl's pthread_cond_wait waits at a node in its own frame. */
static void wait_musl_cond(struct waiter *w)
{
    uint32_t node = 2;
    __atomic_store_n(&w->memory, (void *)&node, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&node, __ATOMIC_SEQ_CST) == 2) {
        syscall(SYS_futex, &node, WAIT, 2, NULL, NULL, 0);
    }
}

static void end_musl_cond(struct waiter *w)
{
    uint32_t *node;
    while (!(node = __atomic_exchange_n(&w->memory, NULL, __ATOMIC_SEQ_CST))) {
        sleep_ns(1000000);
    }
    end_at(node, 0);
}

#define FUTEX(name, reason, id)                                                                    \
    {                                                                                              \
        name, reason, prepare_##id, .wait = wait_##id, .end = end_##id                             \
    }

static struct waiter waiters[] = {
    FUTEX("f-go-note", "idle", go_note),
    FUTEX("f-go-mutex", "lock", go_mutex),
    FUTEX("f-rust-park", "idle", rust_park),
    FUTEX("f-rust-mutex", "lock", rust_mutex),
    FUTEX("f-rust-cond", "idle", rust_condvar),
    FUTEX("f-rust-rwlock", "lock", rust_rwlock),
    FUTEX("f-musl-sem", "sem", musl_sem),
    FUTEX("f-musl-mutex", "lock", musl_mutex),
    {"f-musl-cond", "idle", NULL, .wait = wait_musl_cond, .end = end_musl_cond},
};

int main(int argc, char **argv)
{
    return run_waiters(argc, argv, waiters, sizeof(waiters) / sizeof(waiters[0]));
}
