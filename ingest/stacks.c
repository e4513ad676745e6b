/* stacks.c - see stacks.h. */
#include "ingest/stacks.h"

#include <string.h>

#include <sys/random.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/jit.h"

enum {
    SHORT_WALK = 4,      /* levels that are looked up as fast as the whole stack is hashed */
    KNOWN_MAX = 1 << 20, /* stacks remembered: 50 MB */
};
/* Odd, without structure: the fractions of two square roots (those of SHA-512). */
static const uint64_t HASH_A = 0xbb67ae8584caa73bULL;
static const uint64_t HASH_B = 0xa54ff53a5f1d36f1ULL;

/* The frame of a user address; is_return: a return address, whose call lies one byte before it. 0:
 * a return address that no mapping holds, which is none. */
static uint32_t user_frame(struct binaries *b, struct process *p, uint64_t address, bool is_return)
{
    struct space *space = p->space;
    struct map *known = is_return ? &space->returns : &space->pcs;
    uint32_t id = map_get(known, address);
    if (id) {
        return id;
    }
    uint64_t at = address - is_return;
    const struct space_mapping *m = space_find(space, at);
    bool is_memory = m && b->items[m->binary - 1].is_memory;
    if (b->jit && (is_memory || (!m && p->jit.space))) {
        id = jit_frame(b->jit, p, at, is_return, is_memory);
        if (id) { /* not remembered here: another time, another code */
            return id;
        }
    }
    if (!m && is_return) {
        return 0;
    }
    if (!m) {
        id = binaries_frame(b, binaries_unknown(b), at);
    } else {
        const char *kind = b->items[m->binary - 1].kind;
        bool is_by_address = strcmp(kind, "jit") == 0 || strcmp(kind, "unknown") == 0;
        id = binaries_frame(b, m->binary, is_by_address ? at : at - m->start + m->file_offset);
    }
    *map_put(known, address) = id;
    return id;
}

/* Caller number i of a sample (leaf first): what kind of address it is follows from where it
 * stands: the innermost user address below kernel frames is where the kernel was entered, a pc. */
static uint32_t caller_frame(struct binaries *b, struct process *p, const struct stack_text *s,
                             size_t i)
{
    if (i < s->n_kernel) {
        return binaries_kernel_frame(b, s->addresses[i], true);
    }
    return user_frame(b, p, s->addresses[i], i != s->n_kernel);
}

uint32_t stacks_process_root(struct binaries *b, struct process *p)
{
    if (!p->root) {
        uint32_t frame = binaries_marker_frame(b, p->name, strlen(p->name), SYMBOL_PROCESS);
        p->root = intern_callsite(b->intern, 0, frame);
    }
    return p->root;
}

/* Where a stack starts whose outer part is not known. */
static uint32_t cut_root(struct binaries *b, uint32_t root)
{
    static const char marker[] = "[truncated stack]";
    uint32_t frame = binaries_marker_frame(b, marker, sizeof(marker) - 1, SYMBOL_MARKER);
    return intern_callsite(b->intern, root, frame);
}

/* The level, from the root, of the user pc at which the kernel was entered. */
static uint32_t entry_level(const struct stack_text *s)
{
    bool has_entry = s->n_kernel > 0 && s->n_kernel < s->n_addresses;
    return has_entry ? s->n_addresses - 1u - s->n_kernel : UINT32_MAX;
}

/* How many callers, from the root, are the same as in the thread's last stack and mean the same:
 * the same mappings, no pc where a return address stood, and none beyond the level that was cut at.
 */
static uint32_t common_callers(const struct last_stack *last, uint32_t root, uint32_t version,
                               const struct stack_text *s)
{
    if (last->root != root || last->version != version) {
        return 0;
    }
    uint32_t n = s->n_addresses - 1u < last->n ? s->n_addresses - 1u : last->n;
    uint32_t entry = entry_level(s), i = 0;
    if (entry != last->entry) {
        uint32_t first = entry < last->entry ? entry : last->entry;
        n = n < first ? n : first;
    }
    while (i < n && last->addresses[i] == s->addresses[s->n_addresses - 1 - i]) {
        i++;
    }
    return i >= last->n_cut ? i : 0;
}

/* What a stack's callers mean follows from the process's mappings, the root and the addresses. */
static uint64_t hash_callers(struct intern *in, const struct thread *th, const struct process *p,
                             uint32_t root, const struct stack_text *s, uint64_t *check)
{
    if (!in->seeds[0] && getrandom(in->seeds, sizeof(in->seeds), 0) != sizeof(in->seeds)) {
        in->seeds[0] = (uint64_t)clock_monotonic_ns();
    }
    in->seeds[0] |= 1;
    const uint64_t what[] = {map_pair(th->upid, p->version), map_pair(root, entry_level(s)),
                             s->n_addresses};
    uint64_t a = in->seeds[0], b = in->seeds[1];
    for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
        a = (a ^ what[i]) * HASH_A;
        b = (b + what[i]) * HASH_B;
    }
    for (size_t i = 1; i < s->n_addresses; i++) {
        a = (a ^ s->addresses[i]) * HASH_A;
        b = (b + s->addresses[i]) * HASH_B;
        a ^= a >> 29;
        b ^= b >> 32;
    }
    *check = b;
    return a;
}

/* Remembers where the stack led; all is forgotten when that grows too large. */
static void remember(struct intern *in, uint64_t hash, uint64_t check, uint32_t callsite,
                     bool is_cut)
{
    if (in->n_known == KNOWN_MAX) {
        map_clear(&in->known_index);
        in->n_known = 0;
    }
    mem_reserve(&in->known, &in->cap_known, in->n_known + 1, sizeof(*in->known));
    in->known[in->n_known++] =
        (struct known_callers){.check = check, .callsite = callsite, .is_cut = is_cut};
    *map_put(&in->known_index, hash) = (uint32_t)in->n_known;
}

static const struct known_callers *find_known(const struct intern *in, uint64_t hash,
                                              uint64_t check)
{
    uint32_t at = map_get(&in->known_index, hash);
    return at && in->known[at - 1].check == check ? &in->known[at - 1] : NULL;
}

/* Goes down from the level i that the thread's last stack shares with this one. */
static uint32_t walk_callers(struct binaries *b, struct thread *th, struct process *p,
                             uint32_t root, uint32_t i, const struct stack_text *s, bool *is_cut)
{
    struct last_stack *last = &th->last;
    uint32_t n = s->n_addresses - 1u;
    if (n > last->cap) {
        last->cap = n < 32 ? 32 : n;
        last->addresses = mem_grow(last->addresses, last->cap, sizeof(*last->addresses));
        last->callsites = mem_grow(last->callsites, last->cap, sizeof(*last->callsites));
    }
    last->n_cut = i ? last->n_cut : 0;
    uint32_t callsite = i ? last->callsites[i - 1] : root;
    for (; i < n; i++) {
        size_t at = s->n_addresses - 1u - i;
        uint32_t frame = caller_frame(b, p, s, at);
        if (!frame) {
            callsite = *is_cut ? root : cut_root(b, root);
            last->n_cut = i + 1;
        } else {
            callsite = intern_callsite(b->intern, callsite, frame);
        }
        last->addresses[i] = s->addresses[at];
        last->callsites[i] = callsite;
    }
    last->n = n;
    last->root = root;
    last->version = p->version;
    last->entry = entry_level(s);
    *is_cut |= last->n_cut > 0;
    return callsite;
}

uint32_t stacks_callers(struct binaries *b, struct thread *th, struct process *p, int64_t ts,
                        bool *is_cut, const struct stack_text *s)
{
    if (b->jit) {
        jit_enter(b->jit, p, ts);
    }
    uint32_t root = stacks_process_root(b, p);
    root = *is_cut ? cut_root(b, root) : root;
    p->space = p->space ? p->space : space_new(); /* it has ended */
    uint32_t i = common_callers(&th->last, root, p->version, s);
    if (s->n_addresses - 1u - i <= SHORT_WALK) {
        return walk_callers(b, th, p, root, i, s, is_cut);
    }
    uint64_t check, hash = hash_callers(b->intern, th, p, root, s, &check);
    const struct known_callers *known = find_known(b->intern, hash, check);
    if (known) {
        *is_cut |= known->is_cut;
        return known->callsite;
    }
    uint32_t callsite = walk_callers(b, th, p, root, i, s, is_cut);
    remember(b->intern, hash, check, callsite, *is_cut);
    return callsite;
}

unsigned stacks_end(unsigned end, bool is_cut)
{
    return is_cut && end == EVENT_STACK_END_ROOT ? EVENT_STACK_END_NO_MAPPING : end;
}

uint32_t stacks_leaf(struct binaries *b, struct process *p, const struct stack_text *s)
{
    return s->n_kernel ? binaries_kernel_frame(b, s->addresses[0], false)
                       : user_frame(b, p, s->addresses[0], false);
}
