/*
 * zombie.c - keeps a dead child unreaped.
 *
 *   zombie SECONDS
 *
 * Prints the zombie's pid, then sleeps.
 */
#include <sys/wait.h>

#include "truth.h"

int main(int argc, char **argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    siginfo_t info;
    if (pid < 0 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0) {
        perror("zombie");
        return 1;
    }
    printf("%d\n", (int)pid);
    fflush(stdout);
    sleep_ns((int64_t)((argc > 1 ? atof(argv[1]) : 10) * 1e9));
    return 0;
}
