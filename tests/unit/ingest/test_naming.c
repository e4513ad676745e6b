/* test_naming.c - what is found and not taken is bounded and counted; asking goes on afterwards. */
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingest/naming.h"

enum { N_ADDRESSES = 1024, BINARY = 1, MOST_ASKS = 20000, MIB = 1 << 20 };

static int own_bias(struct dl_phdr_info *info, size_t size, void *bias)
{
    (void)size;
    *(uint64_t *)bias = info->dlpi_addr;
    return 1; /* the program is the first */
}

/* address: of a function of it, as the file has it. */
static struct naming *with_own_file(uint64_t *address)
{
    struct names *names;
    struct naming *n = naming_new(NULL);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_non_null(n);
    assert_true(fd >= 0);
    assert_int_equal(names_open_elf(&names, fd, NULL), 0);
    dl_iterate_phdr(own_bias, address);
    *address = (uint64_t)(uintptr_t)with_own_file - *address;
    naming_add_file(n, BINARY, fd, names, "/proc/self/exe", "");
    names_close(names);
    return n;
}

static size_t take_all(struct naming *n)
{
    size_t n_rows = 0;
    struct naming_result *r;
    while ((r = naming_take(n)) != NULL) {
        n_rows += r->n_rows;
        naming_free_result(r);
    }
    return n_rows;
}

static void results_that_wait_are_bounded(void **state)
{
    (void)state;
    static struct naming_address addresses[N_ADDRESSES];
    uint64_t address;
    struct naming *n = with_own_file(&address);
    size_t n_asked = 0;
    for (uint32_t i = 0; i < N_ADDRESSES; i++) {
        addresses[i] = (struct naming_address){i + 1, address};
    }
    assert_true(naming_wait(n, 10000, false));
    take_all(n);
    size_t n_bytes = naming_bytes(n);
    while (n_asked < MOST_ASKS && naming_ask(n, BINARY, addresses, N_ADDRESSES)) {
        assert_true(naming_wait(n, 10000, false)); /* the queue itself is never full */
        n_asked++;
    }
    assert_true(n_asked < MOST_ASKS);
    assert_in_range(naming_bytes(n) - n_bytes, 16 * MIB, 64 * MIB);
    assert_true(take_all(n) >= n_asked * N_ADDRESSES);
    assert_true(naming_ask(n, BINARY, addresses, N_ADDRESSES));
    naming_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(results_that_wait_are_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
