/* launch.c - see launch.h. */
#include "cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

enum { INTERPRETER_BYTES = 255 }; /* as much as the kernel looks at */

/* 0 when path is a file that may be executed, else errno. */
static int check_file(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        /* A folder of $PATH that may not be searched holds no program for us. */
        return errno == EACCES ? ENOENT : errno;
    }
    if (S_ISDIR(st.st_mode)) {
        return EISDIR;
    }
    return access(path, X_OK) < 0 ? errno : 0;
}

static int refuse(const char *command, const char *path, int why, struct err *e)
{
    if (why == ENOENT || why == ENOTDIR) {
        return err_set(e, STAX_ENOTFOUND, "cannot run '%s': there is no such program", command);
    }
    if (why == EISDIR) {
        return err_set(e, STAX_EPERMISSION, "cannot run '%s': it is a folder", command);
    }
    if (why == EACCES) {
        err_set(e, STAX_EPERMISSION, "cannot run '%s': %s is not executable", command, path);
        err_hint(e, "chmod +x '%s', or give its interpreter first", path);
        return STAX_EPERMISSION;
    }
    return err_set_errno(e, why, "cannot run '%s'", command);
}

int launch_find(const char *command, struct buf *path, struct err *e)
{
    if (!*command) {
        return err_set(e, STAX_EUSAGE, "the command is empty");
    }
    buf_clear(path);
    if (strchr(command, '/')) {
        buf_addstr(path, command);
        int why = check_file(command);
        return why ? refuse(command, command, why, e) : 0;
    }
    const char *folders = getenv("PATH");
    struct buf denied = {0};
    for (const char *s = folders ? folders : "/usr/local/bin:/usr/bin:/bin"; s;) {
        size_t n = strcspn(s, ":");
        buf_clear(path);
        buf_add(path, n ? s : ".", n ? n : 1);
        buf_addf(path, "/%s", command);
        int why = check_file(buf_str(path));
        if (why == 0) {
            buf_free(&denied);
            return 0;
        }
        if (why == EACCES && !denied.len) {
            buf_addstr(&denied, buf_str(path));
        }
        s = s[n] ? s + n + 1 : NULL;
    }
    int rc = refuse(command, buf_str(&denied), denied.len ? EACCES : ENOENT, e);
    if (rc == STAX_ENOTFOUND) {
        err_hint(e, "it is not in $PATH; give the path of the program");
    }
    buf_free(&denied);
    return rc;
}

/* The child: waits for its release, then becomes the command. Never returns. */
static void become(char *const *argv, const sigset_t *mask, pid_t reader, int release, int result)
{
    char go;
    ssize_t n;
    if (reader > 0) {
        /* Outlives the exec. Fails where there is no Yama, and nothing to allow. */
        (void)prctl(PR_SET_PTRACER, (unsigned long)reader, 0, 0, 0);
    }
    do {
        n = read(release, &go, 1);
    } while (n < 0 && errno == EINTR);
    if (n != 1) {
        _exit(127);
    }
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    int why = errno;
    (void)fd_write_all(result, &why, sizeof why);
    _exit(127);
}

/* The interpreter of a script, "" when the file is none: the first word after #!. */
static void read_interpreter(const char *path, struct buf *name)
{
    char line[INTERPRETER_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, line, INTERPRETER_BYTES);
    fd_close(&fd);
    if (n < 3 || line[0] != '#' || line[1] != '!') {
        return;
    }
    line[n] = '\0';
    const char *word = line + 2 + strspn(line + 2, " \t");
    buf_add(name, word, strcspn(word, " \t\n"));
}

/* As foreign text is shown; a carriage return belongs to the name, as the kernel sees it. */
static int explain_interpreter(const char *command, const char *path, const struct buf *name,
                               struct err *e)
{
    bool has_return = name->data[name->len - 1] == '\r';
    struct buf shown = {0};
    text_clean(&shown, buf_str(name), name->len);
    err_set(e, STAX_ENOTFOUND, "cannot run '%s': its interpreter %s is not there", command,
            buf_str(&shown));
    if (has_return) {
        err_hint(e, "the lines of %s end with CR LF, as on Windows: sed -i 's/\\r$//' %s", path,
                 path);
    } else {
        err_hint(e, "install it, mend the first line of %s, or give another interpreter first",
                 path);
    }
    buf_free(&shown);
    return STAX_ENOTFOUND;
}

int launch_explain(const char *command, int why, struct err *e)
{
    struct buf path = {0}, interpreter = {0};
    int rc = err_set_errno(e, why, "cannot run '%s'", command);
    if (launch_find(command, &path, NULL) == 0) {
        read_interpreter(buf_str(&path), &interpreter);
    }
    if (why == ENOENT && interpreter.len) {
        rc = explain_interpreter(command, buf_str(&path), &interpreter, e);
    } else if (why == ENOENT && path.len) {
        rc =
            err_set(e, STAX_ENOTFOUND, "cannot run '%s': its dynamic loader is not there", command);
        err_hint(e, "it was made for another system: readelf -l '%s' names the loader it wants",
                 buf_str(&path));
    } else if (why == ENOEXEC) {
        rc = err_set(e, STAX_EPERMISSION, "cannot run '%s': it is no program for this machine",
                     command);
    }
    buf_free(&interpreter);
    buf_free(&path);
    return rc;
}

int launch_hold(struct launch *l, char *const *argv, const sigset_t *mask, pid_t reader,
                struct err *e)
{
    int go[2], done[2];
    *l = (struct launch){.release = -1, .result = -1};
    if (pipe2(go, O_CLOEXEC) < 0) {
        return err_set_errno(e, errno, "cannot make a pipe");
    }
    if (pipe2(done, O_CLOEXEC) < 0) {
        int why = errno;
        close(go[0]);
        close(go[1]);
        return err_set_errno(e, why, "cannot make a pipe");
    }
    l->pid = fork();
    if (l->pid == 0) {
        close(go[1]);
        close(done[0]);
        become(argv, mask, reader, go[0], done[1]);
    }
    int why = errno;
    close(go[0]);
    close(done[1]);
    l->release = go[1];
    l->result = done[0];
    if (l->pid < 0) {
        l->pid = 0;
        fd_close(&l->release);
        fd_close(&l->result);
        return err_set_errno(e, why, "cannot fork");
    }
    return 0;
}

int launch_release(struct launch *l, const char *command, struct err *e)
{
    int why = 0;
    (void)fd_write_all(l->release, "g", 1);
    fd_close(&l->release);
    ssize_t n;
    do {
        n = read(l->result, &why, sizeof why);
    } while (n < 0 && errno == EINTR);
    fd_close(&l->result);
    if (n != sizeof why) {
        return 0;
    }
    launch_reap(l, true);
    return launch_explain(command, why, e);
}

void launch_abort(struct launch *l)
{
    if (l->pid <= 0) {
        return;
    }
    fd_close(&l->release);
    fd_close(&l->result);
    launch_reap(l, true);
    l->pid = 0;
}

void launch_reap(struct launch *l, bool is_blocking)
{
    if (l->pid <= 0 || l->is_ended) {
        return;
    }
    pid_t pid;
    do {
        pid = waitpid(l->pid, &l->status, is_blocking ? 0 : WNOHANG);
    } while (pid < 0 && errno == EINTR);
    l->is_ended = pid == l->pid;
}

int launch_exit_code(const struct launch *l)
{
    return WIFSIGNALED(l->status) ? 128 + WTERMSIG(l->status) : WEXITSTATUS(l->status);
}
