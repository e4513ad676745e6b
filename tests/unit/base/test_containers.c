/* test_containers.c - buffers, hash maps and the bounded queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/queue.h"

static void buffer_grows(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_string_equal(buf_str(&b), "");
    for (int i = 0; i < 1000; i++) {
        buf_addf(&b, "%d,", i);
    }
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(b.data + b.len - 4, "999,", 5);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    buf_addch(&b, 'x');
    char *taken = buf_take(&b);
    assert_string_equal(taken, "x");
    assert_null(b.data);
    free(taken);
}

static void map_keeps_every_key(void **state)
{
    (void)state;
    struct map m = {0};
    assert_int_equal(map_get(&m, 7), 0);
    for (uint32_t i = 1; i <= 100000; i++) {
        uint32_t *id = map_put(&m, (uint64_t)i * 4096);
        assert_int_equal(*id, 0);
        *id = i;
    }
    *map_put(&m, 0) = 5;
    for (uint32_t i = 1; i <= 100000; i++) {
        assert_int_equal(map_get(&m, (uint64_t)i * 4096), i);
    }
    assert_int_equal(map_get(&m, 0), 5);
    assert_int_equal(map_get(&m, 1), 0);
    map_clear(&m);
    assert_int_equal(map_get(&m, 4096), 0);
    map_free(&m);
}

static void map_forgets_keys(void **state)
{
    (void)state;
    struct map m = {0};
    enum { N = 20000 };
    map_remove(&m, 7);
    for (uint32_t i = 1; i <= N; i++) {
        *map_put(&m, i) = i;
        if (i % 3 == 0) { /* an older one, so that every state of the runs comes about */
            map_remove(&m, i / 3);
            map_remove(&m, i / 3);
        }
    }
    for (uint32_t i = 1; i <= N; i++) {
        assert_int_equal(map_get(&m, i), i <= N / 3 ? 0 : i);
    }
    assert_int_equal(m.n_used, N - N / 3);
    for (uint32_t i = 1; i <= N; i++) {
        map_remove(&m, i);
    }
    assert_int_equal(m.n_used, 0);
    map_free(&m);
}

static void strmap_compares_bytes(void **state)
{
    (void)state;
    struct strmap m = {0};
    *strmap_put(&m, "a\0b", 3) = 1;
    *strmap_put(&m, "a\0c", 3) = 2;
    *strmap_put(&m, "", 0) = 3;
    char key[16];
    for (uint32_t i = 10; i < 5000; i++) {
        *strmap_put(&m, key, (size_t)snprintf(key, sizeof(key), "k%u", i)) = i;
    }
    assert_int_equal(strmap_get(&m, "a\0b", 3), 1);
    assert_int_equal(strmap_get(&m, "a\0c", 3), 2);
    assert_int_equal(strmap_get(&m, "", 0), 3);
    assert_int_equal(strmap_get(&m, "k4999", 5), 4999);
    assert_int_equal(strmap_get(&m, "a", 1), 0);
    strmap_free(&m);
}

static void queue_is_bounded(void **state)
{
    (void)state;
    struct queue *q = queue_new(100);
    size_t n;
    assert_null(queue_pop(q, 0, &n));
    assert_true(queue_push(q, mem_new(60, 1), 60));
    void *refused = mem_new(60, 1);
    assert_false(queue_push(q, refused, 60));
    queue_push_forced(q, refused, 60);
    assert_int_equal(queue_bytes(q), 120);
    free(queue_pop(q, 10, &n));
    assert_int_equal(n, 60);
    free(queue_pop(q, 10, &n));
    assert_int_equal(queue_bytes(q), 0);
    assert_int_equal(queue_peak_bytes(q), 120);
    assert_true(queue_push(q, mem_new(1, 1), 1));
    queue_free(q); /* frees what is left */
}

enum { N_BLOCKS = 20000 };

static void *produce(void *arg)
{
    for (uint32_t i = 1; i <= N_BLOCKS; i++) {
        uint32_t *block = mem_new(1, sizeof(*block));
        *block = i;
        queue_push_forced(arg, block, sizeof(*block));
    }
    return NULL;
}

static void queue_keeps_order_between_threads(void **state)
{
    (void)state;
    struct queue *q = queue_new(1 << 20);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, q), 0);
    for (uint32_t i = 1; i <= N_BLOCKS; i++) {
        size_t n;
        uint32_t *block = queue_pop(q, 5000, &n);
        assert_non_null(block);
        assert_int_equal(*block, i);
        free(block);
    }
    pthread_join(producer, NULL);
    queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_grows),     cmocka_unit_test(map_keeps_every_key),
        cmocka_unit_test(map_forgets_keys), cmocka_unit_test(strmap_compares_bytes),
        cmocka_unit_test(queue_is_bounded), cmocka_unit_test(queue_keeps_order_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
