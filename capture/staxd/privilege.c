/* privilege.c - see privilege.h. */
#include "capture/staxd/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/staxd/identity.h"

enum { MAP_BYTES = 512, LAST_CAPABILITY = 63 };

static uint64_t bit(int capability)
{
    return UINT64_C(1) << capability;
}

static bool get(uint64_t *permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) != 0) {
        return false;
    }
    *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return true;
}

static bool set(uint64_t effective, uint64_t permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)effective, .permitted = (uint32_t)permitted},
        {.effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32)},
    };
    return syscall(SYS_capset, &header, data) == 0;
}

/* Whether the kernel lets us count its own part of a task now. */
static bool can_open_kernel_events(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_CONTEXT_SWITCHES,
        .disabled = 1,
    };
    long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0) {
        close((int)fd);
    }
    return fd >= 0;
}

const char *privilege_drop(void)
{
    char map[MAP_BYTES];
    uint64_t had;
    if (identity_read_file("/proc/self/uid_map", map, sizeof(map)) < 0 ||
        !identity_is_host_map(map)) {
        return "runs in a user namespace; perf asks for capabilities on the host";
    }
    if (!get(&had)) {
        return "cannot read its capabilities";
    }
    uint64_t keep = had & (bit(CAP_PERFMON) | bit(CAP_SYSLOG));
    uint64_t spare = had & bit(CAP_SYS_ADMIN);
    if (!keep && !spare) {
        return "has neither CAP_PERFMON nor CAP_SYS_ADMIN; start it as root";
    }
    for (int i = 0; i <= LAST_CAPABILITY; i++) {
        if (!((keep | spare) & bit(i))) {
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0); /* EPERM: a service manager has done so already */
        }
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !set(keep, keep | spare)) {
        return "cannot give up its capabilities";
    }
    /* Some distributions' kernels want CAP_SYS_ADMIN above a level of perf_event_paranoid. */
    if (!can_open_kernel_events()) {
        keep |= spare;
        if (!set(keep, keep) || !can_open_kernel_events()) {
            return "may not open perf events (seccomp, lockdown or CONFIG_PERF_EVENTS)";
        }
        return NULL;
    }
    return set(keep, keep) ? NULL : "cannot give up its capabilities";
}
