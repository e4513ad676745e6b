/* test_datadir.c - the data directory and the listening sockets: what is refused, what is replaced.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/datadir.h"
#include "server/listen.h"

/* A folder of the test's own; everything happens inside. */
static int setup(void **state)
{
    char name[] = "/tmp/stax-test-XXXXXX";
    *state = strdup(mkdtemp(name));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    char command[256];
    snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
    int rc = system(command);
    free(*state);
    return rc;
}

static int open_in(const char *folder, const char *name, struct datadir *d, struct err *e)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    setenv("STAX_DATA_DIR", path, 1);
    return datadir_open(d, e);
}

static void test_makes_it_private(void **state)
{
    struct datadir d;
    struct err e = {0};
    struct stat st;
    assert_int_equal(open_in(*state, "fresh", &d, &e), 0);
    assert_int_equal(stat(d.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    datadir_close(&d);
    assert_int_equal(d.fd, -1);
    assert_int_equal(open_in(*state, "fresh//", &d, &e), 0);
    assert_string_equal(strrchr(d.path, '/'), "/fresh");
    datadir_close(&d);
}

static void test_has_one_owner(void **state)
{
    struct datadir first, second;
    struct err e = {0};
    assert_int_equal(open_in(*state, "owned", &first, &e), 0);
    assert_int_equal(open_in(*state, "owned", &second, &e), STAX_EBUSY);
    char pid[32];
    snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
    assert_non_null(strstr(e.msg, pid));
    datadir_close(&first);
    assert_int_equal(open_in(*state, "owned", &second, &e), 0);
    datadir_close(&second);
}

static void test_refuses_what_is_not_ours_alone(void **state)
{
    struct datadir d;
    struct err e = {0};
    char path[256], link[256];
    snprintf(path, sizeof(path), "%s/open", (char *)*state);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(open_in(*state, "open", &d, &e), STAX_EPERMISSION);
    assert_non_null(strstr(e.hint, "chmod 700"));
    assert_int_equal(chmod(path, 0700), 0);
    snprintf(link, sizeof(link), "%s/link", (char *)*state);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(open_in(*state, "link", &d, &e), STAX_EPERMISSION);
    assert_int_equal(open_in(*state, "link/", &d, &e), STAX_EPERMISSION);
    assert_int_equal(open_in(*state, "link//", &d, &e), STAX_EPERMISSION);
    assert_int_equal(open_in(*state, "missing/below", &d, &e), STAX_ENOTFOUND);
    assert_non_null(strstr(e.hint, "/missing,"));
    assert_non_null(strstr(e.hint, "STAX_DATA_DIR"));
    setenv("STAX_DATA_DIR", "relative", 1);
    assert_int_equal(datadir_open(&d, &e), STAX_EUSAGE);
}

static void test_token_is_kept_while_sound(void **state)
{
    struct datadir d;
    struct err e = {0};
    char first[65], second[65], path[5000];
    assert_int_equal(open_in(*state, "token", &d, &e), 0);
    assert_int_equal(datadir_token(&d, first, &e), 0);
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    assert_int_equal(datadir_token(&d, second, &e), 0);
    assert_string_equal(first, second);
    snprintf(path, sizeof(path), "%s/token", d.path);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0644), 0); /* others may have read it */
    assert_int_equal(datadir_token(&d, second, &e), 0);
    assert_string_not_equal(first, second);
    datadir_close(&d);
}

static void test_parses_addresses(void **state)
{
    (void)state;
    char host[64];
    int port = 0;
    assert_true(listen_parse_address("0.0.0.0:90", host, sizeof(host), &port));
    assert_string_equal(host, "0.0.0.0");
    assert_int_equal(port, 90);
    assert_true(listen_parse_address("[::1]:91", host, sizeof(host), &port));
    assert_string_equal(host, "::1");
    assert_true(listen_parse_address("92", host, sizeof(host), &port));
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 92);
    assert_false(listen_parse_address("a:", host, sizeof(host), &port));
    assert_false(listen_parse_address("a:70000", host, sizeof(host), &port));
    assert_false(listen_parse_address(":80", host, sizeof(host), &port));
    assert_false(listen_parse_address("1x", host, sizeof(host), &port));
}

static void set_socket(const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    setenv("STAX_SERVER_SOCKET", path, 1);
}

static void test_socket_is_private_and_unlinked(void **state)
{
    struct listeners l;
    struct err e = {0};
    struct stat st;
    set_socket(*state, "s");
    assert_int_equal(listen_open(&l, "off", &e), 0);
    assert_int_equal(stat(l.unix_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(l.tcp_fd, -1);
    listen_close(&l);
    assert_int_not_equal(stat(l.unix_path, &st), 0);
}

/* A socket that nobody accepts on, as a killed server leaves it. */
static void leave_stale(const char *path, bool is_served, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    *fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (is_served) {
        assert_int_equal(listen(*fd, 1), 0);
    } else {
        close(*fd);
    }
}

static void test_only_a_stale_socket_is_replaced(void **state)
{
    struct listeners l, second;
    struct err e = {0};
    int fd;
    set_socket(*state, "stale");
    leave_stale(getenv("STAX_SERVER_SOCKET"), false, &fd);
    assert_int_equal(listen_open(&l, "off", &e), 0);
    assert_int_equal(listen_open(&second, "off", &e), STAX_EBUSY);
    struct stat st;
    assert_int_equal(stat(l.unix_path, &st), 0);
    listen_close(&l);

    set_socket(*state, "live");
    leave_stale(getenv("STAX_SERVER_SOCKET"), true, &fd);
    assert_int_equal(listen_open(&l, "off", &e), STAX_EBUSY);
    assert_int_equal(stat(getenv("STAX_SERVER_SOCKET"), &st), 0);
    close(fd);

    set_socket(*state, "file");
    fclose(fopen(getenv("STAX_SERVER_SOCKET"), "w"));
    assert_int_equal(listen_open(&l, "off", &e), STAX_EUSAGE);
    assert_int_equal(stat(getenv("STAX_SERVER_SOCKET"), &st), 0);
}

static void test_long_path_is_explained(void **state)
{
    struct listeners l;
    struct err e = {0};
    char name[160];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    set_socket(*state, name);
    assert_int_equal(listen_open(&l, "off", &e), STAX_EUSAGE);
    assert_non_null(strstr(e.msg, "too long"));
    assert_non_null(strstr(e.hint, "STAX_SERVER_SOCKET"));
}

static void test_a_missing_folder_is_named(void **state)
{
    struct listeners l;
    struct err e = {0};
    char folder[256];
    set_socket(*state, "nowhere/s");
    snprintf(folder, sizeof(folder), "%s/nowhere,", (char *)*state);
    assert_int_equal(listen_open(&l, "off", &e), STAX_ENOTFOUND);
    assert_null(strstr(e.msg, ".lock"));
    assert_non_null(strstr(e.hint, folder));
    assert_non_null(strstr(e.hint, "STAX_SERVER_SOCKET"));
}

static void test_connections_know_their_address(void **state)
{
    struct listeners l;
    struct err e = {0};
    set_socket(*state, "any");
    assert_int_equal(listen_open(&l, "0.0.0.0:0", &e), 0);
    assert_non_null(strstr(l.note, "other machines"));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l.tcp_port)};
    assert_int_equal(inet_pton(AF_INET, "127.0.0.9", &to.sin_addr), 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    int accepted = accept(l.tcp_fd, NULL, NULL);
    char local[LISTEN_HOST_BYTES];
    listen_local_host(accepted, local);
    assert_string_equal(local, "127.0.0.9");
    close(accepted);
    close(fd);
    char address[64];
    struct listeners second;
    snprintf(address, sizeof(address), "0.0.0.0:%d", l.tcp_port);
    set_socket(*state, "other");
    assert_int_equal(listen_open(&second, address, &e), 0);
    assert_non_null(strstr(second.note, "is taken"));
    assert_non_null(strstr(second.note, "other machines"));
    listen_close(&second);
    listen_close(&l);
}

static void test_taken_port_moves_on(void **state)
{
    struct listeners first, second;
    struct err e = {0};
    set_socket(*state, "p1");
    assert_int_equal(listen_open(&first, "127.0.0.1:0", &e), 0);
    char address[64];
    snprintf(address, sizeof(address), "127.0.0.1:%d", first.tcp_port);
    set_socket(*state, "p2");
    assert_int_equal(listen_open(&second, address, &e), 0);
    assert_int_not_equal(second.tcp_port, first.tcp_port);
    assert_non_null(strstr(second.note, "is taken"));
    listen_close(&first);
    listen_close(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_makes_it_private, setup, teardown),
        cmocka_unit_test_setup_teardown(test_has_one_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_what_is_not_ours_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token_is_kept_while_sound, setup, teardown),
        cmocka_unit_test(test_parses_addresses),
        cmocka_unit_test_setup_teardown(test_socket_is_private_and_unlinked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_a_stale_socket_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_path_is_explained, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_missing_folder_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connections_know_their_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_port_moves_on, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
