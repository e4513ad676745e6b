/* frequency.c - how often a recording may sample (capture.h). */
#include "base/fd.h"
#include "capture/capture.h"

enum {
    MAX_FREQUENCY_HZ = 50000
}; /* beyond, the kernel's clock skips more and more ticks, silently */

int64_t capture_max_frequency_hz(void)
{
    int64_t hz;
    if (fd_read_int("/proc/sys/kernel/perf_event_max_sample_rate", &hz) != 0) {
        return MAX_FREQUENCY_HZ;
    }
    return hz < MAX_FREQUENCY_HZ ? hz : MAX_FREQUENCY_HZ;
}

int capture_check_frequency(int64_t hz, struct err *e)
{
    int64_t max_hz = capture_max_frequency_hz();
    if (hz <= 0) {
        return err_set(e, STAX_EUSAGE, "a frequency of %lld Hz takes no samples", (long long)hz);
    }
    if (hz <= max_hz) {
        return 0;
    }
    if (max_hz == MAX_FREQUENCY_HZ) {
        return err_set(e, STAX_EUSAGE,
                       "%lld Hz is above %d Hz: the kernel's sampling clock could not keep up",
                       (long long)hz, MAX_FREQUENCY_HZ);
    }
    err_set(e, STAX_EUSAGE, "%lld Hz is above what this host allows, %lld Hz", (long long)hz,
            (long long)max_hz);
    err_hint(e, "sudo sysctl kernel.perf_event_max_sample_rate=%d", MAX_FREQUENCY_HZ);
    return STAX_EUSAGE;
}
