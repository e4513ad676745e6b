/*
 * fuzz_counter_event.c - the names of counters, as a caller of the server may send them. What is
 * accepted keeps to its bounds and means the same when its own name is read again.
 */
#include <stdlib.h>
#include <string.h>

#include "capture/counter_pmu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct counter_list list, again;
    struct err e = {0};
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    int rc = counter_list_parse(COUNTER_PMU_ROOT, text, &list, &e);
    free(text);
    if (rc != 0) {
        if (rc != STAX_EUSAGE || !e.msg[0]) {
            abort();
        }
        return 0;
    }
    for (size_t i = 0; i < list.n; i++) {
        if (counter_list_parse(COUNTER_PMU_ROOT, list.items[i].name, &again, &e) != 0 ||
            again.n != 1 || again.items[0].config != list.items[i].config ||
            again.items[0].type != list.items[i].type || !list.items[i].unit) {
            abort();
        }
    }
    return 0;
}
