/* Text as /proc would give it: maps, stat and CPU lists. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proc_mapping m;
    struct proc_stat stat;
    struct pid_list cpus = {0};
    size_t at = 0, n_bad = 0;
    char *text = malloc(size + 1);
    if (!text) {
        abort();
    }
    memcpy(text, data, size);
    text[size] = '\0';
    while (proc_next_mapping(text, size, &at, &m, &n_bad)) {
        if (m.start >= m.end || m.path < text || m.path + m.path_len > text + size) {
            abort();
        }
    }
    proc_parse_stat(text, size, &stat);
    proc_parse_cpus(text, &cpus);
    pid_list_free(&cpus);
    free(text);
    return 0;
}
