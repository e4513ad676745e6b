/* test_client.c - answers of servers, good and bad, and commands that are held. */
#include "cli_test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/autostart.h"
#include "cli/client.h"
#include "cli/launch.h"

static int result_of(const char *body, long status, struct err *e)
{
    json_t *result = NULL;
    *e = (struct err){0};
    int rc = client_result(body, strlen(body), status, &result, e);
    assert_true((rc == 0) == (result != NULL));
    json_decref(result);
    return rc;
}

static void test_answers(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(result_of("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 200, &e), 0);
    assert_int_equal(result_of("{\"error\":{\"code\":-32000,\"message\":\"m\",\"data\":{\"code\":"
                               "\"not_found\",\"message\":\"no such thread\",\"hint\":\"h\"}}}",
                               200, &e),
                     STAX_ENOTFOUND);
    assert_string_equal(e.msg, "no such thread");
    assert_string_equal(e.hint, "h");
    assert_int_equal(result_of("{\"error\":{\"code\":-32602,\"message\":\"bad\"}}", 200, &e),
                     STAX_EUSAGE);
    assert_string_equal(e.msg, "bad");
    assert_int_equal(result_of("{\"error\":{\"code\":-32601,\"message\":\"?\"}}", 200, &e),
                     STAX_EVERSION);
    assert_non_null(strstr(e.hint, "another version"));
    assert_int_equal(result_of("<html>", 500, &e), STAX_EFAIL);
    assert_string_equal(e.msg, "the server answered HTTP status 500");
    assert_int_equal(result_of("<html>", 200, &e), STAX_EVERSION);
    assert_int_equal(result_of("{\"result\":3}", 200, &e), STAX_EVERSION);
    assert_int_equal(result_of("", 200, &e), STAX_EVERSION);
    /* An error that claims success is one all the same. */
    assert_int_equal(result_of("{\"error\":{\"data\":{\"code\":\"ok\"}}}", 200, &e), STAX_EFAIL);
}

/* A server that reads one request and answers with fixed bytes, or hangs up. */
static pid_t serve_once(const char *path, uid_t uid, const char *answer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    uid_t own = geteuid();
    assert_int_equal(seteuid(uid), 0);
    assert_int_equal(listen(fd, 1), 0); /* whose socket it is for those who connect */
    assert_int_equal(seteuid(own), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char request[4096];
        int connection = accept(fd, NULL, NULL);
        ssize_t n = read(connection, request, sizeof request);
        n = n > 0 ? write(connection, answer, strlen(answer)) : n;
        _exit(n < 0);
    }
    close(fd);
    return pid;
}

static int call_for(const char *answer, uid_t uid, json_t **document, struct err *e)
{
    char folder[] = "/tmp/stax-test-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    setenv("STAX_SERVER_SOCKET", path, 1);
    pid_t pid = serve_once(path, uid, answer);
    struct client *client = NULL;
    assert_int_equal(client_open(&client, e), 0);
    int rc = client_call(client, "status", NULL, 5000, document, e);
    client_close(client);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    unlink(path);
    rmdir(folder);
    return rc;
}

static int call_once(const char *answer, uid_t uid, struct err *e)
{
    json_t *document = NULL;
    int rc = call_for(answer, uid, &document, e);
    json_decref(document);
    return rc;
}

/* Every answer is looked at, whatever was asked: a document has the warning, an error the hint. */
static void test_a_server_of_another_version(void **state)
{
    (void)state;
#define ANSWER(server, body)                                                                       \
    "HTTP/1.1 200 OK\r\n" server "Connection: close\r\n\r\n{\"id\":1," body "}"
#define DOCUMENT "\"result\":{\"data\":{},\"warnings\":[\"first\"]}"
#define ERROR                                                                                      \
    "\"error\":{\"code\":-32000,\"message\":\"no\",\"data\":{\"code\":\"failed\","                 \
    "\"message\":\"no\",\"hint\":\"try\"}}"
    static const struct {
        const char *answer, *warning;
    } cases[] = {
        {ANSWER("Server: stax-server/9.9.9\r\n", DOCUMENT), "stax-server 9.9.9 answered"},
        {ANSWER("", DOCUMENT), "of an unknown version"},
        {ANSWER("server: stax-server/" STAX_VERSION "\r\n", DOCUMENT), NULL},
    };
    struct err e = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *document = NULL;
        assert_int_equal(call_for(cases[i].answer, geteuid(), &document, &e), 0);
        const json_t *warnings = json_object_get(document, "warnings");
        assert_int_equal(json_array_size(warnings), cases[i].warning ? 2 : 1);
        const char *text = json_string_value(json_array_get(warnings, 0));
        assert_non_null(strstr(text, cases[i].warning ? cases[i].warning : "first"));
        json_decref(document);
    }
    call_once(ANSWER("Server: stax-server/9.9.9\r\n", ERROR), geteuid(), &e);
    assert_string_equal(e.msg, "no");
    assert_non_null(strstr(e.hint, "try; stax-server 9.9.9 answered, this is stax " STAX_VERSION));
    call_once(ANSWER("Server: stax-server/" STAX_VERSION "\r\n", ERROR), geteuid(), &e);
    assert_string_equal(e.hint, "try");
}

static void test_calls(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(call_once("HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n"
                               "{\"id\":1,\"result\":{\"a\":1}}",
                               geteuid(), &e),
                     STAX_EVERSION); /* one byte short of its JSON */
    assert_int_equal(call_once("HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n"
                               "{\"id\":1,\"result\":{\"a\":1}}",
                               geteuid(), &e),
                     0);
    assert_int_equal(call_once("", geteuid(), &e), STAX_EUNREACHABLE);
    assert_int_equal(call_once("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", geteuid(), &e),
                     STAX_EUNREACHABLE);
    assert_non_null(strstr(e.hint, "stax list"));
}

static void test_another_user_answers(void **state)
{
    (void)state;
    struct err e = {0};
    if (geteuid() != 0) {
        skip(); /* only root can be somebody else */
    }
    const char *answer = "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n"
                         "{\"id\":1,\"result\":{\"a\":1}}";
    assert_int_equal(call_once(answer, 65534, &e), STAX_EPERMISSION);
    assert_non_null(strstr(e.msg, "belongs to uid 65534"));
    assert_non_null(strstr(e.hint, "STAX_SERVER_SOCKET"));
    assert_int_equal(call_once(answer, 0, &e), 0);
}

static void test_no_server(void **state)
{
    (void)state;
    struct err e = {0};
    struct client *client = NULL;
    setenv("STAX_SERVER_SOCKET", "/nowhere/stax.sock", 1);
    assert_int_equal(client_open(&client, &e), 0);
    assert_int_equal(client_call(client, "status", NULL, 1000, NULL, &e), STAX_EUNREACHABLE);
    assert_string_equal(e.msg, "stax-server unreachable: nothing answers on /nowhere/stax.sock");
    client_close(client);
    char path[200];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[199] = '\0';
    setenv("STAX_SERVER_SOCKET", path, 1);
    assert_int_equal(client_open(&client, &e), STAX_EUSAGE);
    assert_null(client);
    unsetenv("STAX_SERVER_SOCKET");
    setenv("XDG_RUNTIME_DIR", "/run/x", 1);
    assert_int_equal(client_open(&client, &e), 0);
    assert_string_equal(client_socket(client), "/run/x/stax-server.sock");
    client_close(client);
}

static void test_a_server_that_does_not_start(void **state)
{
    (void)state;
    struct err e = {0};
    const int exited_5 = 5 << 8, exited_2 = 2 << 8, exited_1 = 1 << 8;
    assert_int_equal(autostart_error("stax-server: a note\n"
                                     "stax-server: the data directory /d is open to others\n"
                                     "  chmod 700 '/d'\n",
                                     exited_5, &e),
                     STAX_EPERMISSION);
    assert_string_equal(e.msg,
                        "stax-server did not start: the data directory /d is open to others");
    assert_string_equal(e.hint, "chmod 700 '/d'");
    assert_int_equal(autostart_error("stax-server: x\n  y\nstax-server: z", exited_2, &e),
                     STAX_EUSAGE);
    assert_string_equal(e.msg, "stax-server did not start: z");
    assert_string_equal(e.hint, "");
    assert_int_equal(autostart_error("garbage\n  more\n", exited_1, &e), STAX_EUNREACHABLE);
    assert_string_equal(e.msg, "stax-server did not start");
    assert_int_equal(autostart_error("", SIGSEGV, &e), STAX_EUNREACHABLE);
}

static int launch_code(char *const *argv)
{
    struct launch l;
    struct err e = {0};
    sigset_t none;
    sigemptyset(&none);
    assert_int_equal(launch_hold(&l, argv, &none, getpid(), &e), 0);
    launch_reap(&l, false);
    assert_false(l.is_ended);
    assert_int_equal(launch_release(&l, argv[0], &e), 0);
    launch_reap(&l, true);
    assert_true(l.is_ended);
    return launch_exit_code(&l);
}

static void test_launch(void **state)
{
    (void)state;
    struct launch l;
    struct err e = {0};
    sigset_t none;
    sigemptyset(&none);
    assert_int_equal(launch_code((char *[]){"sh", "-c", "exit 7", NULL}), 7);
    assert_int_equal(launch_code((char *[]){"sh", "-c", "kill -TERM $$", NULL}), 128 + SIGTERM);
    char *missing[] = {"/nowhere/program", NULL};
    assert_int_equal(launch_hold(&l, missing, &none, getpid(), &e), 0);
    assert_int_equal(launch_release(&l, missing[0], &e), STAX_ENOTFOUND);
    char file[] = "/tmp/stax-test-XXXXXX";
    int fd = mkstemp(file);
    char *touch[] = {"rm", file, NULL};
    assert_int_equal(launch_hold(&l, touch, &none, getpid(), &e), 0);
    launch_abort(&l);
    assert_int_equal(access(file, F_OK), 0); /* a held command never ran */
    unlink(file);
    close(fd);
}

static void test_find(void **state)
{
    (void)state;
    struct buf path = {0};
    struct err e = {0};
    char folder[] = "/tmp/stax-test-XXXXXX";
    char file[64];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/script", folder);
    fclose(fopen(file, "w"));
    assert_int_equal(launch_find("sh", &path, &e), 0);
    assert_int_equal(launch_find("no-such-program", &path, &e), STAX_ENOTFOUND);
    assert_int_equal(launch_find("/etc/passwd/x", &path, &e), STAX_ENOTFOUND);
    assert_int_equal(launch_find("/tmp", &path, &e), STAX_EPERMISSION);
    assert_int_equal(launch_find(file, &path, &e), STAX_EPERMISSION);
    assert_non_null(strstr(e.msg, "is not executable"));
    assert_int_equal(launch_find("", &path, &e), STAX_EUSAGE);
    setenv("PATH", folder, 1);
    assert_int_equal(launch_find("script", &path, &e), STAX_EPERMISSION);
    unlink(file);
    rmdir(folder);
    buf_free(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_a_server_of_another_version),
        cmocka_unit_test(test_another_user_answers),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_a_server_that_does_not_start),
        cmocka_unit_test(test_launch),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
