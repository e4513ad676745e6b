/*
 * launch.h - a command that is held before it starts, so that a recording can be armed first.
 *
 * launch_hold() forks a child that waits; launch_release() lets it exec. A child whose parent goes
 * away before that ends without having run anything. One thread.
 */
#ifndef STAX_CLI_LAUNCH_H
#define STAX_CLI_LAUNCH_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct launch {
    pid_t pid;     /* of the child, 0: none */
    int release;   /* write end: a byte lets it go, -1 */
    int result;    /* read end: the errno of a failed exec, closed by a good one, -1 */
    bool is_ended; /* status is known */
    int status;    /* as waitpid() gives it */
};

/* What execvp() would run: STAX_ENOTFOUND or STAX_EPERMISSION say why it cannot. */
int launch_find(const char *command, struct buf *path, struct err *e);

/* Why an exec failed after launch_find() had found the command, and what to do: why is an errno.
 * STAX_ENOTFOUND: what should run it is missing. */
int launch_explain(const char *command, int why, struct err *e);

/* Forks the child that will become argv; mask is the signal mask it gets. reader: a process that
 * may read its memory where Yama (kernel.yama.ptrace_scope 1) reserves that for its parents; 0:
 * none. */
int launch_hold(struct launch *l, char *const *argv, const sigset_t *mask, pid_t reader,
                struct err *e);
/* Lets it exec; an exec that fails is an error, and the child is gone. */
int launch_release(struct launch *l, const char *command, struct err *e);
/* Ends a child that is still held and reaps it. A zeroed struct is accepted. */
void launch_abort(struct launch *l);

/* Looks whether the child has ended, waiting if is_blocking; sets is_ended and status. */
void launch_reap(struct launch *l, bool is_blocking);
/* What a shell's $? would say: the exit status, or 128 plus the signal's number. */
int launch_exit_code(const struct launch *l);

#endif
