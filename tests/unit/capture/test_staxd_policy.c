/* test_staxd_policy.c - what the broker grants, and every way in which it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <linux/perf_event.h>

#include "capture/staxd/identity.h"
#include "capture/staxd/policy.h"
#include "capture/unwind_arch.h"

enum { PID = 400, TID = 401, UID = 1000, GID = 1001 };

/* What each kind is asked with at most. */
static struct broker_request good(uint32_t kind)
{
    struct broker_request r = {
        .magic = BROKER_MAGIC,
        .version = BROKER_VERSION,
        .size = sizeof(r),
        .serial = 9,
        .op = BROKER_EVENTS,
        .kind = kind,
        .flags = BROKER_FLAGS_ALL,
        .pid = PID,
        .tid = TID,
        .cpu = 3,
        .n_cpus = 20,
        .period = 1111111,
    };
    if (kind == BROKER_DUMMY) {
        r.flags &= ~(uint32_t)(BROKER_KERNEL | BROKER_CALLCHAIN | BROKER_NO_KERNEL_STACKS);
        r.period = 0;
    }
    return r;
}

static enum broker_status check(const struct broker_request *r)
{
    return policy_check_request(r, sizeof(*r), r->op == BROKER_KALLSYMS ? 0 : 1);
}

/* A change of a good request, and what becomes of it. */
#define EXPECT(kind, change, status)                                                               \
    do {                                                                                           \
        struct broker_request r = good(kind);                                                      \
        change;                                                                                    \
        assert_int_equal(check(&r), (status));                                                     \
    } while (0)

static void test_good_requests(void **state)
{
    (void)state;
    for (uint32_t kind = BROKER_CPU_CLOCK; kind <= BROKER_SCHED_SWITCH; kind++) {
        EXPECT(kind, (void)0, BROKER_GRANTED);
        EXPECT(kind, r.n_cpus = BROKER_FDS_MAX, BROKER_GRANTED);
        EXPECT(kind, r.tid = r.pid, BROKER_GRANTED);
    }
    EXPECT(BROKER_CPU_CLOCK, r.flags = 0, BROKER_GRANTED);
    EXPECT(BROKER_CPU_CLOCK, r.stack_bytes = 65528, BROKER_GRANTED);
    EXPECT(BROKER_SWITCH_OUT, (r.stack_bytes = 16384, r.period = 1), BROKER_GRANTED);
}

static void test_messages(void **state)
{
    (void)state;
    struct broker_request whole = good(BROKER_CPU_CLOCK);
    for (size_t n = 0; n < 2 * sizeof(whole); n++) {
        enum broker_status status = policy_check_request(&whole, n, 1);
        assert_int_equal(status, n == sizeof(whole) ? BROKER_GRANTED : BROKER_BAD_MESSAGE);
    }
    EXPECT(BROKER_CPU_CLOCK, r.magic++, BROKER_BAD_MESSAGE);
    EXPECT(BROKER_CPU_CLOCK, r.size--, BROKER_BAD_MESSAGE);
    EXPECT(BROKER_CPU_CLOCK, r.version++, BROKER_BAD_VERSION);
    EXPECT(BROKER_CPU_CLOCK, r.version = 0, BROKER_BAD_VERSION);
    /* A later version may be of another size: it is told which one this is all the same. */
    whole.version = BROKER_VERSION + 1;
    whole.size = 200;
    assert_int_equal(policy_check_request(&whole, 200, 1), BROKER_BAD_VERSION);
}

static void test_unknown_bits(void **state)
{
    (void)state;
    EXPECT(BROKER_CPU_CLOCK, r.op = 0, BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, r.op = BROKER_KALLSYMS + 1, BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, r.kind = 0, BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, r.kind = BROKER_SCHED_SWITCH + 1, BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, r.kind = UINT32_MAX, BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, r.reserved[0] = 1, BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, r.reserved[1] = 1, BROKER_BAD_FIELD);
    for (uint32_t kind = BROKER_CPU_CLOCK; kind <= BROKER_SCHED_SWITCH; kind++) {
        for (unsigned i = 0; i < 32; i++) {
            if (!(BROKER_FLAGS_ALL >> i & 1)) {
                EXPECT(kind, r.flags |= UINT32_C(1) << i, BROKER_BAD_FIELD);
            }
        }
        EXPECT(kind, r.flags &= ~(uint32_t)BROKER_INHERIT, BROKER_BAD_FIELD);
    }
    /* flags without a meaning for the kind, and kinds that make no sense without one */
    EXPECT(BROKER_DUMMY, r.flags |= BROKER_KERNEL, BROKER_BAD_FIELD);
    EXPECT(BROKER_DUMMY, r.flags |= BROKER_CALLCHAIN, BROKER_BAD_FIELD);
    EXPECT(BROKER_DUMMY, r.flags |= BROKER_NO_KERNEL_STACKS, BROKER_BAD_FIELD);
    for (uint32_t kind = BROKER_SWITCH_OUT; kind <= BROKER_SCHED_SWITCH; kind++) {
        EXPECT(kind, r.flags &= ~(uint32_t)BROKER_KERNEL, BROKER_BAD_FIELD);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    for (uint32_t kind = BROKER_CPU_CLOCK; kind <= BROKER_SCHED_SWITCH; kind++) {
        EXPECT(kind, r.pid = 0, BROKER_BAD_BOUNDS);
        EXPECT(kind, r.pid = -1, BROKER_BAD_BOUNDS);
        EXPECT(kind, r.tid = 0, BROKER_BAD_BOUNDS);
        EXPECT(kind, r.tid = -1, BROKER_BAD_BOUNDS); /* system-wide, for perf_event_open(2) */
        EXPECT(kind, r.n_cpus = 0, BROKER_BAD_BOUNDS);
        EXPECT(kind, r.n_cpus = BROKER_FDS_MAX + 1, BROKER_BAD_BOUNDS);
        EXPECT(kind, r.n_cpus = UINT32_MAX, BROKER_BAD_BOUNDS);
        EXPECT(kind, r.cpu = UINT32_MAX, BROKER_BAD_BOUNDS);
        EXPECT(kind, r.cpu = BROKER_CPUS_LIMIT - 19, BROKER_BAD_BOUNDS);
        EXPECT(kind, r.period = UINT64_MAX, BROKER_BAD_BOUNDS);
    }
    EXPECT(BROKER_CPU_CLOCK, r.period = 0, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_CPU_CLOCK, r.period = 9999, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_CPU_CLOCK, r.period = UINT64_C(60000000001), BROKER_BAD_BOUNDS);
    EXPECT(BROKER_DUMMY, r.period = 1, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_SWITCH_OUT, r.period = 0, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_SCHED_WAKING, r.period = 0, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_SCHED_SWITCH, r.period = UINT64_C(1) << 32, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_CPU_CLOCK, r.stack_bytes = 4, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_CPU_CLOCK, r.stack_bytes = 65536, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_CPU_CLOCK, r.stack_bytes = UINT32_MAX - 7, BROKER_BAD_BOUNDS);
    /* the copy would be the waker's, who may be somebody else */
    EXPECT(BROKER_SCHED_WAKING, r.stack_bytes = 8, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_SCHED_SWITCH, r.stack_bytes = 8, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_DUMMY, r.stack_bytes = 8, BROKER_BAD_BOUNDS);
}

static void test_counters(void **state)
{
    (void)state;
    EXPECT(BROKER_CPU_CLOCK,
           (r.n_counters = 2, r.counters[0] = BROKER_CYCLES, r.counters[1] = BROKER_PAGE_FAULTS),
           BROKER_GRANTED);
    EXPECT(BROKER_CPU_CLOCK, r.n_counters = 1, BROKER_BAD_FIELD); /* none named */
    EXPECT(BROKER_CPU_CLOCK, r.counters[0] = BROKER_CYCLES, BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, (r.n_counters = 1, r.counters[0] = BROKER_COUNTERS_END),
           BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, (r.n_counters = 1, r.counters[0] = UINT16_MAX), BROKER_BAD_FIELD);
    EXPECT(BROKER_CPU_CLOCK, r.n_counters = 5, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_CPU_CLOCK, r.n_counters = UINT32_MAX, BROKER_BAD_BOUNDS);
    EXPECT(BROKER_CPU_CLOCK,
           (r.n_counters = 1, r.counters[0] = BROKER_CYCLES, r.n_cpus = BROKER_FDS_MAX / 2 + 1),
           BROKER_BAD_BOUNDS);
    EXPECT(BROKER_CPU_CLOCK,
           (r.n_counters = 1, r.counters[0] = BROKER_CYCLES, r.n_cpus = BROKER_FDS_MAX / 2),
           BROKER_GRANTED);
    EXPECT(BROKER_SWITCH_OUT, (r.n_counters = 1, r.counters[0] = BROKER_CYCLES), BROKER_BAD_BOUNDS);
    EXPECT(BROKER_DUMMY, (r.n_counters = 1, r.counters[0] = BROKER_CYCLES), BROKER_BAD_BOUNDS);
}

static void test_descriptors(void **state)
{
    (void)state;
    struct broker_request r = good(BROKER_CPU_CLOCK);
    assert_int_equal(policy_check_request(&r, sizeof(r), 0), BROKER_BAD_DESCRIPTOR);
    assert_int_equal(policy_check_request(&r, sizeof(r), 2), BROKER_BAD_DESCRIPTOR);
}

static void test_kallsyms(void **state)
{
    (void)state;
    struct broker_request plain = {
        .magic = BROKER_MAGIC,
        .version = BROKER_VERSION,
        .size = sizeof(plain),
        .serial = 5,
        .op = BROKER_KALLSYMS,
    };
    assert_int_equal(policy_check_request(&plain, sizeof(plain), 0), BROKER_GRANTED);
    assert_int_equal(policy_check_request(&plain, sizeof(plain), 1), BROKER_BAD_DESCRIPTOR);
    for (size_t i = offsetof(struct broker_request, kind); i < sizeof(plain); i++) {
        struct broker_request r = plain;
        ((unsigned char *)&r)[i] = 1;
        assert_int_equal(check(&r), BROKER_BAD_FIELD);
    }
}

static struct policy_target own(void)
{
    return (struct policy_target){
        .tid = TID,
        .tgid = PID,
        .uid = {UID, UID, UID, UID},
        .gid = {GID, GID, GID, GID},
        .owner_uid = UID,
        .owner_gid = GID,
        .is_host_userns = true,
    };
}

static enum broker_status judge(const struct policy_target *t)
{
    static const struct policy_caller caller = {UID, GID, 77};
    return policy_check_target(&caller, PID, t);
}

static void test_targets(void **state)
{
    (void)state;
    struct policy_target t = own();
    assert_int_equal(judge(&t), BROKER_GRANTED);
    for (size_t i = 0; i < 4; i++) { /* real, effective, saved, file access */
        t = own();
        t.uid[i] = UID + 1;
        assert_int_equal(judge(&t), BROKER_OTHER_USER);
        t.uid[i] = 0;
        assert_int_equal(judge(&t), BROKER_OTHER_USER);
        t = own();
        t.gid[i] = GID + 1;
        assert_int_equal(judge(&t), BROKER_OTHER_USER);
    }
    t = own();
    t.tgid = PID + 1;
    assert_int_equal(judge(&t), BROKER_NOT_A_THREAD);
    t = own();
    t.owner_uid = t.owner_gid = 0;
    assert_int_equal(judge(&t), BROKER_NOT_DUMPABLE);
    t = own();
    t.owner_gid = 0;
    assert_int_equal(judge(&t), BROKER_NOT_DUMPABLE);
    t = own();
    t.is_host_userns = false;
    assert_int_equal(judge(&t), BROKER_OTHER_USERNS);
    t = own();
    t.capabilities = 1;
    assert_int_equal(judge(&t), BROKER_HAS_CAPABILITIES);
    t.capabilities = UINT64_C(1) << 40;
    assert_int_equal(judge(&t), BROKER_HAS_CAPABILITIES);
}

/* A thread that ends has no memory, and files in /proc that are root's: it is gone, not forbidden.
 */
static void test_targets_that_end(void **state)
{
    (void)state;
    struct policy_target t = own();
    t.is_ending = true;
    assert_int_equal(judge(&t), BROKER_GONE);
    t.owner_uid = t.owner_gid = 0;
    t.is_host_userns = false;
    assert_int_equal(judge(&t), BROKER_GONE);
    t.tgid = 0; /* it has left its process */
    assert_int_equal(judge(&t), BROKER_GONE);
}

static void test_root_may_all_but_other_threads(void **state)
{
    (void)state;
    const struct policy_caller root = {0, 0, 1};
    struct policy_target t = own();
    t.capabilities = UINT64_MAX;
    t.is_host_userns = false;
    t.owner_uid = 12;
    assert_int_equal(policy_check_target(&root, PID, &t), BROKER_GRANTED);
    assert_int_equal(policy_check_target(&root, PID + 1, &t), BROKER_NOT_A_THREAD);
    /* group 0 makes nobody root */
    const struct policy_caller group = {UID, 0, 1};
    assert_int_equal(policy_check_target(&group, PID, &t), BROKER_OTHER_USER);
}

static void test_built_events(void **state)
{
    (void)state;
    struct perf_event_attr a;
    struct broker_request r = good(BROKER_CPU_CLOCK);
    r.stack_bytes = 4096;
    r.n_counters = 1;
    r.counters[0] = BROKER_L1D_LOAD_MISSES;
    memset(&a, 0xff, sizeof(a));
    policy_build_attr(&r, 0, 99, &a);
    assert_int_equal(a.type, PERF_TYPE_SOFTWARE);
    assert_int_equal(a.config, PERF_COUNT_SW_CPU_CLOCK);
    assert_int_equal(a.sample_period, 1111111);
    assert_int_equal(a.sample_stack_user, 4096);
    assert_int_equal(a.sample_regs_user, policy_registers());
    assert_int_equal(a.clockid, CLOCK_MONOTONIC);
    assert_true(a.inherit && a.inherit_thread && a.disabled && a.enable_on_exec && a.mmap2 &&
                a.comm_exec && a.task && a.context_switch && !a.exclude_kernel && !a.freq);
    assert_true(!a.precise_ip && !a.sigtrap && !a.remove_on_exec && !a.ksymbol && !a.bpf_event &&
                !a.aux_output && !a.config1 && !a.config2 && !a.branch_sample_type);
    assert_true(a.exclude_callchain_kernel && a.read_format & PERF_FORMAT_LOST);
    r.flags &= ~(uint32_t)BROKER_NO_KERNEL_STACKS;
    policy_build_attr(&r, 0, 99, &a);
    assert_true(!a.exclude_callchain_kernel && !a.exclude_kernel);
    policy_build_attr(&r, 1, 99, &a);
    assert_int_equal(a.type, PERF_TYPE_HW_CACHE);
    assert_int_equal(a.config, PERF_COUNT_HW_CACHE_L1D | PERF_COUNT_HW_CACHE_OP_READ << 8 |
                                   PERF_COUNT_HW_CACHE_RESULT_MISS << 16);
    assert_true(a.sample_period == 0 && !a.disabled && !a.enable_on_exec && !a.mmap &&
                !a.sample_stack_user && a.inherit);
    r.flags = 0;
    policy_build_attr(&r, 0, 99, &a);
    assert_true(a.exclude_kernel && a.exclude_callchain_kernel && !a.inherit && !a.disabled);
    assert_false(a.sample_type & PERF_SAMPLE_CALLCHAIN);
    assert_false(a.read_format & PERF_FORMAT_LOST);
    r = good(BROKER_SCHED_WAKING);
    policy_build_attr(&r, 0, 99, &a);
    assert_int_equal(a.type, PERF_TYPE_TRACEPOINT);
    assert_int_equal(a.config, 99);
    assert_true(a.sample_type & PERF_SAMPLE_RAW);
    assert_false(a.sample_type & (PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER));
}

static void test_registers_are_those_of_the_unwinder(void **state)
{
    (void)state;
#if defined(__x86_64__)
    assert_int_equal(policy_registers(), unwind_x86_64.perf_mask);
#else
    assert_int_equal(policy_registers(), 0);
#endif
    assert_non_null(policy_status_text(BROKER_BUSY));
    assert_non_null(policy_status_text(UINT32_MAX));
    assert_null(policy_tracepoint(UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_requests),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_unknown_bits),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_kallsyms),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_targets_that_end),
        cmocka_unit_test(test_root_may_all_but_other_threads),
        cmocka_unit_test(test_built_events),
        cmocka_unit_test(test_registers_are_those_of_the_unwinder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
