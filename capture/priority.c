/* priority.c - see priority.h. */
#include "capture/priority.h"

#include <sched.h>
#include <stddef.h>
#include <unistd.h>

#include <sys/syscall.h>

void priority_raise(struct slice_attributes *before)
{
    struct sched_param low = {.sched_priority = 1};
    if (before) {
        *before = (struct slice_attributes){0};
        if (syscall(SYS_sched_getattr, 0, before, sizeof(*before), 0) != 0) {
            before->size = 0;
            return; /* could not be restored */
        }
    }
    slice_shorten();
    (void)sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &low);
}

void priority_restore(const struct slice_attributes *before)
{
    if (before->size) {
        /* What keeps children from inheriting it can be taken back by root only. */
        struct slice_attributes kept = *before;
        kept.flags |= 1; /* SCHED_FLAG_RESET_ON_FORK */
        (void)syscall(SYS_sched_setattr, 0, &kept, 0);
    }
}
