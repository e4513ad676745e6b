/* priority.c - see priority.h. */
#include "capture/priority.h"

#include <sched.h>
#include <unistd.h>

#include <sys/syscall.h>

static const uint64_t SLICE_NS = 100000;

void priority_raise(struct priority *before)
{
    struct priority wanted = {.size = sizeof(wanted), .runtime_ns = SLICE_NS};
    struct sched_param low = {.sched_priority = 1};
    if (before) {
        *before = (struct priority){0};
        if (syscall(SYS_sched_getattr, 0, before, sizeof(*before), 0) != 0) {
            before->size = 0;
            return; /* could not be restored */
        }
    }
    (void)syscall(SYS_sched_setattr, 0, &wanted, 0);
    (void)sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &low);
}

void priority_restore(const struct priority *before)
{
    if (before->size) {
        (void)syscall(SYS_sched_setattr, 0, before, 0);
    }
}
