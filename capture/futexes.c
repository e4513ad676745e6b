/* futexes.c - see futexes.h. */
#include "capture/futexes.h"

/* By address its value does not count; by arguments it is the address that does not. */
static struct futex_wait by_address(const struct futex_wait *wait)
{
    struct futex_wait key = *wait;
    key.value = 0;
    return key;
}

static struct futex_wait by_arguments(const struct futex_wait *wait)
{
    struct futex_wait key = *wait;
    key.address = 0;
    return key;
}

static size_t place_of(const struct futex_wait *key)
{
    uint64_t hash = key->address + ((uint64_t)(uint32_t)key->pid << 32 | key->value);
    hash = (hash ^ key->operation) * 0x9e3779b97f4a7c15;
    return hash >> 32 & (FUTEXES - 1);
}

/* NULL: nothing is known of it. */
static const struct futex_known *known_of(const struct futexes *f, struct futex_wait key)
{
    const struct futex_known *k = &f->known[place_of(&key)];
    bool is_it = k->is_known && k->wait.address == key.address && k->wait.pid == key.pid &&
                 k->wait.operation == key.operation && k->wait.value == key.value;
    return is_it ? k : NULL;
}

static void note(struct futexes *f, struct futex_wait key, uint32_t value, enum event_reason reason)
{
    const struct futex_known *before = known_of(f, key);
    bool is_count = before && (before->is_count || before->value != value);
    f->known[place_of(&key)] = (struct futex_known){key, value, true, is_count, (uint8_t)reason};
}

static bool find(const struct futexes *f, struct futex_wait key, enum event_reason *reason)
{
    const struct futex_known *k = known_of(f, key);
    if (k) {
        *reason = (enum event_reason)k->reason;
    }
    return k;
}

void futexes_note(struct futexes *f, const struct futex_wait *wait, enum event_reason reason)
{
    note(f, by_arguments(wait), wait->value, reason);
    note(f, by_address(wait), wait->value, reason);
}

bool futexes_is_count(const struct futexes *f, const struct futex_wait *wait)
{
    const struct futex_known *k = known_of(f, by_address(wait));
    return k && (k->is_count || k->value != wait->value);
}

void futexes_forget(struct futexes *f, int32_t pid)
{
    for (size_t i = 0; i < FUTEXES; i++) {
        f->known[i].is_known &= f->known[i].wait.pid != pid;
    }
}

bool futexes_find(const struct futexes *f, const struct futex_wait *wait, enum event_reason *reason,
                  bool *is_other)
{
    *is_other = false;
    if (find(f, by_address(wait), reason)) {
        return true;
    }
    *is_other = find(f, by_arguments(wait), reason);
    return *is_other;
}
