/* autostart.c - see autostart.h. */
#include "cli/autostart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include "base/fd.h"
#include "cli/launch.h"

enum { START_TIMEOUT_MS = 15000, POLL_MS = 20, LOG_TAIL_BYTES = 1 << 20 };

static int find_server(struct buf *path, struct err *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        buf_clear(path);
        buf_addf(path, "%.*s/stax-server", slash ? (int)(slash - self) : 0, self);
        if (access(buf_str(path), X_OK) == 0) {
            return 0;
        }
    }
    int rc = launch_find("stax-server", path, e);
    if (rc) {
        err_set(e, STAX_ENOTFOUND,
                "no stax-server answers, and none is found beside stax or in $PATH");
        err_hint(e, "install stax-server beside stax");
    }
    return rc;
}

/* The data folder when it exists and is private and ours, else /tmp. */
static void log_path(struct buf *path)
{
    const char *folder = getenv("STAX_DATA_DIR");
    struct stat st;
    buf_clear(path);
    if (folder && *folder) {
        buf_addstr(path, folder);
    } else {
        buf_addf(path, "/dev/shm/stax-%u", (unsigned)getuid());
    }
    bool is_private = lstat(buf_str(path), &st) == 0 && S_ISDIR(st.st_mode) &&
                      st.st_uid == geteuid() && (st.st_mode & 077) == 0;
    if (is_private) {
        buf_addstr(path, "/stax-server.log");
    } else {
        buf_clear(path);
        buf_addf(path, "/tmp/stax-server-%u.log", (unsigned)getuid());
    }
}

/* Appends to our own regular file only: /tmp is everybody's. */
static int open_log(const char *path, struct err *e)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_errno(e, errno, "cannot write the server's log %s", path);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1) {
        close(fd);
        err_set(e, STAX_EPERMISSION, "the server's log %s is not a file of ours", path);
        err_hint(e, "remove it, or start stax-server by hand");
        return STAX_EPERMISSION;
    }
    return fd;
}

static bool is_relative(const char *variable)
{
    const char *path = getenv(variable);
    return path && *path && *path != '/';
}

/* Away from the caller's terminal: in a process group that no shell knows, and without one, neither
 * its keys nor its end reach the server. Not by setsid(): the kernel shares CPUs out by session
 * first (sched(7), autogroup), and a target that switches a million times a second starves every
 * other session. */
static void leave_terminal(void)
{
    setpgid(0, 0);
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (terminal >= 0) {
        (void)ioctl(terminal, TIOCNOTTY);
        close(terminal);
    }
}

static void become_server(const char *path, int log)
{
    sigset_t none;
    sigemptyset(&none);
    leave_terminal();
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) {
        _exit(126);
    }
    /* Pipes of whoever called us must not stay open as long as the server lives. */
    close_range(3, ~0U, 0);
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    if (!is_relative("STAX_DATA_DIR") && !is_relative("STAX_SERVER_SOCKET") && chdir("/") < 0) {
        _exit(126);
    }
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execl(path, "stax-server", (char *)NULL);
    _exit(126);
}

int autostart_error(const char *log, int status, struct err *e)
{
    static const char name[] = "stax-server: ", indent[] = "  ";
    const char *message = NULL, *hint = NULL;
    int n_message = 0, n_hint = 0;
    const char *line = log;
    for (bool was_message = false; *line;) {
        int n = (int)strcspn(line, "\n");
        bool is_message = strncmp(line, name, sizeof name - 1) == 0;
        if (is_message) {
            message = line + sizeof name - 1;
            n_message = n - (int)(sizeof name - 1);
            n_hint = 0;
        } else if (was_message && strncmp(line, indent, sizeof indent - 1) == 0) {
            hint = line + sizeof indent - 1;
            n_hint = n - (int)(sizeof indent - 1);
        }
        was_message = is_message;
        line += n + (line[n] == '\n');
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    enum stax_err kind = code == EXIT_NOT_PERMITTED ? STAX_EPERMISSION
                         : code == EXIT_USAGE       ? STAX_EUSAGE
                                                    : STAX_EUNREACHABLE;
    err_set(e, kind, "stax-server did not start%s%.*s", n_message ? ": " : "", n_message,
            n_message ? message : "");
    if (n_hint) {
        err_hint(e, "%.*s", n_hint, hint);
    }
    return kind;
}

static int start_failed(const char *path, off_t from, int status, struct err *e)
{
    struct buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && lseek(fd, from, SEEK_SET) >= 0) {
        (void)fd_read_all(fd, LOG_TAIL_BYTES, &text);
    }
    fd_close(&fd);
    int rc = autostart_error(buf_str(&text), status, e);
    buf_free(&text);
    if (!e->hint[0]) {
        err_hint(e, "its log is %s", path);
    }
    return rc;
}

static int check_version(const json_t *document, struct err *e)
{
    const json_t *server = json_object_get(json_object_get(document, "data"), "server");
    const char *version = json_text_at(server, "version", "?");
    if (strcmp(version, STAX_VERSION) == 0) {
        return 0;
    }
    err_set(e, STAX_EVERSION, "a stax-server of version %.40s is running, this is stax %s", version,
            STAX_VERSION);
    err_hint(e, "stop it (kill %lld) and run this again; its runs stay",
             (long long)json_int_at(server, "pid", 0));
    return STAX_EVERSION;
}

/* note: gets what the server says of its port; NULL: nobody wants it. */
static int ask_version(struct client *client, struct buf *note, struct err *e)
{
    json_t *document = NULL;
    int rc = client_call(client, "status", NULL, 5000, &document, e);
    if (rc == 0) {
        rc = check_version(document, e);
    }
    if (rc == 0 && note) {
        const json_t *server = json_object_get(json_object_get(document, "data"), "server");
        buf_addstr(note, json_text_at(server, "http_note", ""));
    }
    json_decref(document);
    return rc;
}

/* Waits until the new server answers. If it ends first, another one may have been faster. */
static int wait_for_server(struct client *client, pid_t pid, const char *log, off_t log_start,
                           struct buf *note, struct err *e)
{
    int rc = STAX_EUNREACHABLE;
    int status = 0;
    bool has_ended = false;
    for (int ms = 0; ms < START_TIMEOUT_MS && rc == STAX_EUNREACHABLE && !has_ended;
         ms += POLL_MS) {
        has_ended = waitpid(pid, &status, WNOHANG) == pid;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
        rc = ask_version(client, note, e);
    }
    if (rc == STAX_EUNREACHABLE && has_ended) {
        return start_failed(log, log_start, status, e);
    }
    if (rc == STAX_EUNREACHABLE) {
        err_set(e, STAX_EUNREACHABLE, "stax-server started but does not answer");
        err_hint(e, "its log is %s", log);
    }
    return rc;
}

int autostart(struct cli *cli, struct client *client, bool is_allowed, struct err *e)
{
    const char *forbidden = getenv("STAX_NO_AUTOSTART");
    int rc = ask_version(client, NULL, e);
    if (rc != STAX_EUNREACHABLE || !is_allowed || (forbidden && strcmp(forbidden, "1") == 0)) {
        return rc;
    }
    struct buf path = {0}, log = {0}, note = {0};
    rc = find_server(&path, e);
    int fd = -1;
    if (rc == 0) {
        log_path(&log);
        fd = open_log(buf_str(&log), e);
        rc = fd < 0 ? fd : 0;
    }
    if (rc == 0) {
        off_t log_start = lseek(fd, 0, SEEK_END);
        pid_t pid = fork();
        if (pid == 0) {
            become_server(buf_str(&path), fd);
        }
        if (pid < 0) {
            rc = err_set_errno(e, errno, "cannot fork");
        } else {
            rc = wait_for_server(client, pid, buf_str(&log), log_start, &note, e);
        }
        if (rc == 0) {
            cli_note(cli, "started stax-server (pid %d, log %s)", (int)pid, buf_str(&log));
            if (note.len) {
                cli_note(cli, "stax-server: %s", buf_str(&note));
            }
        }
    }
    fd_close(&fd);
    buf_free(&path);
    buf_free(&log);
    buf_free(&note);
    return rc;
}
