"""activate.py stream|seqpacket UNIX_PATH TCP_PORT PROGRAM...: what systemd does for a .socket unit:
binds, waits for a first connection, and runs the program with the sockets (sd_listen_fds(3)). TCP_PORT 0: none."""
import os, select, socket, sys

kind, path, port, program = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if kind == "seqpacket" else socket.SOCK_STREAM)]
sockets[0].bind(path)
if port:
    sockets.append(socket.socket(socket.AF_INET))
    sockets[1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sockets[1].bind(("127.0.0.1", port))
for s in sockets:
    s.listen(64)
print("listening", flush=True)
select.select(sockets, [], [])
spare = [os.dup(s.fileno()) for s in sockets]  # out of the way of 3 and 4
for number, fd in enumerate(spare):
    os.dup2(fd, 3 + number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))
os.execvp(program[0], program)
