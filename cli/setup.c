/* setup.c - see setup.h. */
#include "cli/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "cli/units/staxd_service.h"
#include "cli/units/staxd_socket.h"

#define PROGRAM     "/usr/local/libexec/staxd"
#define SERVICE     "/etc/systemd/system/staxd.service"
#define SOCKET_UNIT "/etc/systemd/system/staxd.socket"
#define EVERYBODY   "SocketMode=0666\n"

enum { PROGRAM_BYTES_MAX = 64 << 20, NAME_MAX_BYTES = 32 };

static void tell(struct setup *s, enum setup_result result, const char *what, const char *note)
{
    s->tell(s->context, result, what, note);
}

/* The folders above a file, as mkdir -p makes them. */
static int make_parents(const char *path, struct err *e)
{
    struct buf folder = {0};
    int rc = 0;
    for (const char *slash = strchr(path + 1, '/'); !rc && slash; slash = strchr(slash + 1, '/')) {
        buf_clear(&folder);
        buf_add(&folder, path, (size_t)(slash - path));
        if (mkdir(buf_str(&folder), 0755) != 0 && errno != EEXIST) {
            rc = err_set_errno(e, errno, "cannot make the folder %s", buf_str(&folder));
        }
    }
    buf_free(&folder);
    return rc;
}

/* Whether the file is there already with these bytes and this mode, and belongs to us. */
static bool is_same(const char *path, const struct buf *wanted, mode_t mode)
{
    struct stat st;
    struct buf found = {0};
    bool same = lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == mode &&
                st.st_uid == geteuid() && fd_read_file(path, PROGRAM_BYTES_MAX, &found) == 0 &&
                found.len == wanted->len &&
                memcmp(buf_str(&found), buf_str(wanted), wanted->len) == 0;
    buf_free(&found);
    return same;
}

/* Writes a file beside its place, then puts it there in one step: a running staxd keeps its own. */
static int replace(const char *path, const struct buf *bytes, mode_t mode, struct err *e)
{
    struct buf temporary = {0};
    buf_addf(&temporary, "%s.new", path);
    const char *name = buf_str(&temporary);
    int rc = 0, os_rc = 0;
    unlink(name);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = err_set_errno(e, errno, "cannot write %s", name);
        goto out;
    }
    os_rc = fd_write_all(fd, buf_str(bytes), bytes->len);
    if (os_rc == 0 && (fchmod(fd, mode) != 0 || fsync(fd) != 0)) {
        os_rc = -errno;
    }
    close(fd);
    if (os_rc == 0 && rename(name, path) != 0) {
        os_rc = -errno;
    }
    if (os_rc != 0) {
        unlink(name);
        rc = err_set_errno(e, -os_rc, "cannot install %s", path);
    }
out:
    buf_free(&temporary);
    return rc;
}

static int install_file(struct setup *s, const char *place, const struct buf *bytes, mode_t mode,
                        struct err *e)
{
    struct buf path = {0};
    buf_addf(&path, "%s%s", s->destdir, place);
    int rc = 0;
    if (is_same(buf_str(&path), bytes, mode)) {
        tell(s, SETUP_UNCHANGED, buf_str(&path), "installed before");
    } else {
        rc = make_parents(buf_str(&path), e);
        rc = rc ? rc : replace(buf_str(&path), bytes, mode, e);
        if (rc == 0) {
            s->n_changed++;
            tell(s, SETUP_DONE, buf_str(&path), "installed");
        }
    }
    buf_free(&path);
    return rc;
}

static int remove_file(struct setup *s, const char *place, struct err *e)
{
    struct buf path = {0};
    buf_addf(&path, "%s%s", s->destdir, place);
    int rc = 0;
    if (unlink(buf_str(&path)) == 0) {
        s->n_changed++;
        tell(s, SETUP_DONE, buf_str(&path), "removed");
    } else if (errno == ENOENT || errno == ENOTDIR) {
        tell(s, SETUP_UNCHANGED, buf_str(&path), "not there");
    } else {
        rc = err_set_errno(e, errno, "cannot remove %s", buf_str(&path));
    }
    buf_free(&path);
    return rc;
}

/* staxd as it lies beside this program (a build), or where `cmake --install` puts it. */
static int read_program(struct buf *bytes, struct err *e)
{
    static const char *const places[] = {"staxd", "../libexec/stax/staxd"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    int rc = -ENOENT;
    for (size_t i = 0; slash && rc == -ENOENT && i < sizeof places / sizeof *places; i++) {
        struct buf path = {0};
        buf_addf(&path, "%.*s/%s", (int)(slash - self), self, places[i]);
        rc = fd_read_file(buf_str(&path), PROGRAM_BYTES_MAX, bytes);
        buf_free(&path);
    }
    if (rc == -ENOENT) {
        err_set(e, STAX_ENOTFOUND, "there is no staxd beside %s to install", self);
        err_hint(e, "build or install all of stax first");
        return STAX_ENOTFOUND;
    }
    return rc ? err_set_errno(e, -rc, "cannot read the staxd to install") : 0;
}

/* Names go into a unit file: only those that groupadd(8) makes. */
static int check_group(const struct setup *s, struct err *e)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(s->group);
    if (n == 0 || n > NAME_MAX_BYTES || strspn(s->group, letters) != n) {
        return err_set(e, STAX_EUSAGE, "'%s' is not the name of a group", s->group);
    }
    if (!*s->destdir && !getgrnam(s->group)) {
        err_set(e, STAX_ENOTFOUND, "there is no group '%s'", s->group);
        err_hint(e, "groupadd --system %s, and usermod -aG %s USER for each who may use it",
                 s->group, s->group);
        return STAX_ENOTFOUND;
    }
    return 0;
}

static void socket_unit(const struct setup *s, struct buf *text)
{
    const char *mode = strstr(staxd_socket_text, EVERYBODY);
    if (!s->group || !mode) {
        buf_addstr(text, staxd_socket_text);
        return;
    }
    buf_add(text, staxd_socket_text, (size_t)(mode - staxd_socket_text));
    buf_addf(text, "SocketMode=0660\nSocketGroup=%s\n%s", s->group, mode + strlen(EVERYBODY));
}

/* Runs systemctl with its messages on our stderr. */
static int systemctl(struct setup *s, const char *const *arguments, struct err *e)
{
    struct buf line = {0};
    for (size_t i = 0; arguments[i]; i++) {
        buf_addf(&line, "%s%s", i ? " " : "", arguments[i]);
    }
    pid_t pid;
    int status = 0, rc = 0;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    int why = posix_spawnp(&pid, arguments[0], &actions, NULL, (char *const *)(uintptr_t)arguments,
                           environ);
    posix_spawn_file_actions_destroy(&actions);
    while (why == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (why != 0) {
        rc = err_set_errno(e, why, "cannot run %s", buf_str(&line));
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        rc = err_set(e, STAX_EFAIL, "'%s' failed (status %d)", buf_str(&line),
                     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        err_hint(e, "journalctl -xe says why; the files are installed");
    } else {
        tell(s, SETUP_DONE, buf_str(&line), "");
    }
    buf_free(&line);
    return rc;
}

/* Whether there is a systemd to talk to; if not, says how to go on without. */
static bool has_systemd(struct setup *s, const char *otherwise)
{
    if (*s->destdir) {
        tell(s, SETUP_SKIPPED, "systemctl", "not run for another root");
        return false;
    }
    if (access("/run/systemd/system", F_OK) != 0) {
        tell(s, SETUP_SKIPPED, "systemctl", otherwise);
        return false;
    }
    return true;
}

static int start(struct setup *s, struct err *e)
{
    static const char *const stop[] = {"systemctl", "stop", "staxd.socket", "staxd.service", NULL};
    static const char *const reload[] = {"systemctl", "daemon-reload", NULL};
    static const char *const enable[] = {"systemctl", "enable", "--now", "staxd.socket", NULL};
    static const char *const check[] = {"systemctl", "is-active", "--quiet", "staxd.socket", NULL};
    bool is_changed = s->n_changed > 0;
    if (!has_systemd(s, "systemd does not run here; start it with: sudo " PROGRAM
                        " --socket /run/staxd.sock")) {
        return 0;
    }
    int rc = 0;
    if (is_changed) {
        rc = systemctl(s, reload, e);
        /* What runs is of the old files. */
        rc = rc ? rc : systemctl(s, stop, e);
    }
    rc = rc ? rc : systemctl(s, enable, e);
    return rc ? rc : systemctl(s, check, e);
}

int setup_install(struct setup *s, struct err *e)
{
    struct buf program = {0}, service = {0}, socket = {0};
    int rc = s->group ? check_group(s, e) : 0;
    rc = rc ? rc : read_program(&program, e);
    buf_addstr(&service, staxd_service_text);
    socket_unit(s, &socket);
    rc = rc ? rc : install_file(s, PROGRAM, &program, 0755, e);
    rc = rc ? rc : install_file(s, SERVICE, &service, 0644, e);
    rc = rc ? rc : install_file(s, SOCKET_UNIT, &socket, 0644, e);
    rc = rc ? rc : start(s, e);
    buf_free(&program);
    buf_free(&service);
    buf_free(&socket);
    return rc;
}

int setup_uninstall(struct setup *s, struct err *e)
{
    static const char *const disable[] = {"systemctl", "disable", "--now", "staxd.socket", NULL};
    static const char *const stop[] = {"systemctl", "stop", "staxd.service", NULL};
    static const char *const reload[] = {"systemctl", "daemon-reload", NULL};
    struct buf path = {0};
    buf_addf(&path, "%s" SOCKET_UNIT, s->destdir);
    bool has_unit = access(buf_str(&path), F_OK) == 0;
    buf_free(&path);
    bool is_running = has_systemd(
        s, "systemd does not run here; a staxd started by hand has to be ended by hand");
    int rc = 0;
    if (is_running && has_unit) {
        rc = systemctl(s, disable, e);
        rc = rc ? rc : systemctl(s, stop, e);
    }
    rc = rc ? rc : remove_file(s, SOCKET_UNIT, e);
    rc = rc ? rc : remove_file(s, SERVICE, e);
    rc = rc ? rc : remove_file(s, PROGRAM, e);
    if (rc == 0 && is_running && has_unit) {
        rc = systemctl(s, reload, e);
    }
    return rc;
}
