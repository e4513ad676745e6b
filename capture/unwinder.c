/* unwinder.c - see unwinder.h. */
#include "capture/unwinder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/mem.h"

enum {
    LIVE_BYTES = TARGET_MEMORY_BYTES_MAX,
    JIT_PART = 4,               /* of the memory for tables: so much for those of jitdumps on top */
    STACK_BYTES_MAX = 64 << 20, /* a stack is not expected to reach further */
    PAGE_BYTES = 4096,          /* or more */
};

struct unwinder {
    struct cfi_cache *cache;
    struct jit_cfi *jit;
    int fd; /* epoll: of both */
    struct unwinder_options options;
    struct unwind_stack stack;
    uint8_t live[LIVE_BYTES];   /* of the target's stack, read at once */
    uint8_t parked[LIVE_BYTES]; /* the stack that is taken for a copy */
};

/* One call of unwind(). */
struct call {
    struct unwinder *u;
    const struct address_space *space;
    int32_t pid;
    int64_t ts;             /* of the stack, ns */
    uint64_t stack_address; /* whatever lies above may be of the stack */
    uint64_t live_address;  /* of u->live */
    size_t n_live;
    bool is_refused; /* the process is gone, or not to be read */
};

static int poll_too(struct unwinder *u, int fd, struct err *e)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(u->fd, EPOLL_CTL_ADD, fd, &event) != 0
               ? err_set_errno(e, errno, "cannot wait for unwind tables")
               : 0;
}

int unwinder_new(struct unwinder **out, const struct unwinder_options *options, struct err *e)
{
    struct unwinder *u = mem_new(1, sizeof(*u));
    u->options = *options;
    u->fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = u->fd < 0 ? err_set_errno(e, errno, "cannot make an epoll descriptor") : 0;
    if (rc == 0) {
        rc = cfi_cache_new(&u->cache, options->arch, options->max_table_bytes, e);
    }
    if (rc == 0) {
        rc = jit_cfi_new(&u->jit, options->arch, options->max_table_bytes / JIT_PART, e);
    }
    if (rc == 0) {
        rc = poll_too(u, cfi_cache_fd(u->cache), e);
    }
    if (rc == 0) {
        rc = poll_too(u, jit_cfi_fd(u->jit), e);
    }
    if (rc != 0) {
        unwinder_free(u);
        return rc;
    }
    *out = u;
    return 0;
}

void unwinder_free(struct unwinder *u)
{
    if (u) {
        cfi_cache_free(u->cache);
        jit_cfi_free(u->jit);
        fd_close(&u->fd);
        free(u);
    }
}

static void add_dump(struct unwinder *u, struct address_space **space, const struct cfi_file *file)
{
    struct jit_dump *dump = jit_cfi_follow(u->jit, file);
    if (dump) {
        address_space_add_dump(space, dump);
    }
}

void unwinder_map(struct unwinder *u, struct address_space **space, const struct event_mapping *m,
                  const char *path, size_t path_len)
{
    static const char vdso[] = "[vdso]";
    struct address_mapping mapping = {.start = m->start, .file_offset = m->file_offset};
    if (__builtin_add_overflow(m->start, m->size, &mapping.end)) {
        return;
    }
    if (path_len >= sizeof(vdso) - 1 && memcmp(path, vdso, sizeof(vdso) - 1) == 0) {
        mapping.file_offset = 0;
        mapping.binary = cfi_cache_vdso(u->cache);
    } else {
        const struct cfi_file file = {.pid = m->pid,
                                      .start = m->start,
                                      .end = mapping.end,
                                      .device = m->device,
                                      .inode = m->inode,
                                      .path = path,
                                      .path_len = path_len,
                                      .ts = m->head.ts};
        if (!jit_cfi_is_dump(&file)) {
            mapping.binary = cfi_cache_get(u->cache, &file);
        } else if (!address_space_has_dump(*space, m->device, m->inode)) {
            add_dump(u, space, &file);
        }
    }
    address_space_map(space, &mapping);
}

/* ---- memory of the target ---- */

static size_t read_memory(struct call *c, uint64_t address, void *to, size_t n)
{
    bool is_refused = false;
    size_t n_read = 0;
    if (!c->is_refused) {
        n_read = target_memory_read(c->u->options.memory, c->pid, address, to, n, &is_refused);
        c->is_refused = is_refused;
    }
    return n_read;
}

static bool is_live(const struct call *c, uint64_t address, size_t n)
{
    return address >= c->live_address && c->n_live >= n &&
           address - c->live_address <= c->n_live - n;
}

/* Of where no stack is known to be, no page is touched that was not asked for: it may hang. */
static size_t rest_of_page(uint64_t address, size_t at_least)
{
    size_t rest = PAGE_BYTES - address % PAGE_BYTES;
    return rest > at_least ? rest : at_least;
}

/* unwind_input.read. Stacks are read in large pieces, others by page: of a signal's, say. */
static bool read_live(void *ctx, uint64_t address, void *to, size_t n)
{
    struct call *c = ctx;
    if (c->is_refused || address + n < address) {
        return false;
    }
    if (!is_live(c, address, n) && n <= sizeof(c->u->live)) {
        bool is_stack = address - c->stack_address < STACK_BYTES_MAX;
        c->live_address = address;
        c->n_live = read_memory(c, address, c->u->live,
                                is_stack ? sizeof(c->u->live) : rest_of_page(address, n));
    }
    if (is_live(c, address, n)) {
        memcpy(to, c->u->live + (address - c->live_address), n);
        return true;
    }
    return false;
}

static enum unwind_found find(void *ctx, uint64_t pc, struct unwind_code *code)
{
    const struct call *c = ctx;
    enum unwind_found found = address_space_find(c->space, pc, code);
    if (found != UNWIND_CODE || code->table) {
        return found;
    }
    struct unwind_code made;
    enum unwind_found found_made = address_space_find_jit(c->space, pc, c->ts, &made);
    if (found_made == UNWIND_CODE) {
        *code = made;
    } else if (address_space_n_dumps(c->space)) { /* its neighbours may be known */
        code->start = pc;
        code->end = pc + 1;
    }
    return found_made == UNWIND_CODE_PENDING ? UNWIND_CODE_PENDING : UNWIND_CODE;
}

/* ---- stacks ---- */

static enum event_stack_end end_of(enum unwind_end end)
{
    static const uint8_t ends[] = {
#define X(name, wire) [UNWIND_##name] = EVENT_STACK_END_##name,
        UNWIND_ENDS(X)
#undef X
    };
    return (enum event_stack_end)ends[end];
}

/* Puts what was unwound behind the kernel's part. */
static void take(const struct unwind_stack *from, struct unwinder_stack *out)
{
    size_t room = UNWINDER_ADDRESSES_MAX - out->n_kernel, n = from->n < room ? from->n : room;
    for (size_t i = 0; i < n; i++) {
        /* Names of callers are looked up one byte before their addresses, which is right for return
         * addresses. Where a signal interrupted a function the address is the instruction's own. */
        bool is_own = i > 0 && (from->flags[i] & UNWIND_IS_EXACT);
        out->addresses[out->n_kernel + i] = from->pc[i] + is_own;
    }
    out->n = out->n_kernel + n;
    out->end = end_of(from->end);
    out->is_guessed = from->n_marked > 0;
    out->is_chain = false;
}

static bool has_registers(const struct unwinder *u, const struct record *r,
                          struct unwind_regs *regs)
{
    return u && r->sample.n_user_regs && !r->sample.is_32_bit &&
           unwind_regs_from_perf(u->options.arch, r->sample.user_regs, r->sample.n_user_regs, regs);
}

bool unwinder_sample(struct unwinder *u, size_t max_chain, const struct address_space *space,
                     const struct record *r, bool may_wait, struct unwinder_stack *out)
{
    out->n = record_addresses(r, out->addresses, UNWINDER_ADDRESSES_MAX, &out->n_kernel);
    out->end = out->n >= max_chain ? EVENT_STACK_END_KERNEL_LIMIT : EVENT_STACK_END_ROOT;
    out->is_guessed = false;
    out->is_chain = true;
    struct unwind_input in = {.find = find};
    if (!has_registers(u, r, &in.regs)) {
        return true;
    }
    uint64_t sp = in.regs.value[u->options.arch->sp];
    struct call call = {.u = u, .space = space, .pid = r->pid, .ts = r->ts, .stack_address = sp};
    in.arch = u->options.arch;
    in.stack_address = sp;
    in.stack = r->sample.stack;
    in.n_stack_bytes = r->sample.n_stack_bytes;
    in.read = u->options.memory ? read_live : NULL;
    in.ctx = &call;
    in.chain = out->addresses + out->n_kernel;
    in.n_chain = out->n - out->n_kernel;
    unwind(&in, &u->stack);
    bool is_pending = u->stack.end == UNWIND_PENDING;
    if (is_pending && may_wait) {
        return false;
    }
    if (is_pending && in.n_chain > u->stack.n) {
        out->end = EVENT_STACK_END_PENDING; /* the kernel found more by frame pointers */
        out->is_guessed = true;
    } else {
        take(&u->stack, out);
    }
    return true;
}

/* Whether a frame was found in another way than these. */
static bool is_guessed_in(const struct unwind_stack *stack, uint8_t but)
{
    uint8_t flags = 0;
    for (uint32_t i = 0; i < stack->n; i++) {
        flags |= stack->flags[i];
    }
    return (flags & (uint8_t)~but) != 0;
}

/* All of its memory is of one time, as long as the thread has not moved (which the caller sees): no
 * frame is less certain for having been read later than the first ones. */
enum unwinder_answer unwinder_parked(struct unwinder *u, const struct address_space *space,
                                     int32_t pid, uint64_t sp, uint64_t pc,
                                     struct unwinder_stack *out)
{
    struct call call = {
        .u = u, .space = space, .pid = pid, .ts = clock_monotonic_ns(), .stack_address = sp};
    struct unwind_input in = {.arch = u->options.arch, .stack_address = sp, .find = find};
    in.stack = u->parked;
    in.n_stack_bytes = u->options.memory ? read_memory(&call, sp, u->parked, sizeof(u->parked)) : 0;
    if (!in.n_stack_bytes) {
        return UNWINDER_UNREADABLE;
    }
    in.read = read_live;
    in.ctx = &call;
    unwind_regs_parked(in.arch, sp, pc, &in.regs);
    unwind(&in, &u->stack);
    if (u->stack.end == UNWIND_PENDING) {
        return UNWINDER_PENDING;
    }
    out->n_kernel = 0;
    take(&u->stack, out);
    out->is_guessed = is_guessed_in(&u->stack, UNWIND_IS_EXACT | UNWIND_FROM_LIVE);
    return UNWINDER_DONE;
}

bool unwinder_is_root(struct unwinder *u, const struct address_space *space, int64_t ts,
                      uint64_t address)
{
    struct unwind_code code = {0};
    struct call call = {.u = u, .space = space, .ts = ts};
    const uint32_t *rule = NULL;
    if (find(&call, address - 1, &code) == UNWIND_CODE && code.table) {
        rule = cfi_table_find(code.table, address - 1 - code.bias);
    }
    return rule && rule[0] & CFI_IS_ROOT;
}

void unwinder_collect(struct unwinder *u)
{
    cfi_cache_collect(u->cache);
    jit_cfi_collect(u->jit);
}

int unwinder_fd(const struct unwinder *u)
{
    return u->fd;
}

void unwinder_get_stats(const struct unwinder *u, struct cfi_cache_stats *stats)
{
    struct jit_cfi_stats jit;
    cfi_cache_get_stats(u->cache, stats);
    jit_cfi_get_stats(u->jit, &jit);
    stats->n_bytes += jit.n_bytes;
    stats->n_dropped += jit.n_dropped;
    stats->n_pending += jit.n_pending;
}
