"""Run by gdb, attached to a process: stops it at random points, and compares the frames of gdb with
those of stax's unwinder on the same registers and memory.

Environment: FRAMES (the program bench_frames), POINTS (how many), SEED.
Prints one line: "N points, N frames, N differ; ..."; differences before it. Exit status 1 if any.
"""
import os
import random
import subprocess

import gdb

REGISTERS = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
DEPTH_MAX = 1000


def frames_of_gdb():
    pcs = []
    frame = gdb.newest_frame()
    while frame is not None and len(pcs) < DEPTH_MAX:
        # Inlined functions are no frames of the machine.
        # Inlined functions and, where it has debug information, calls that were jumps: no frames of the stack.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            pcs.append(frame.pc())
        try:
            frame = frame.older()
        except gdb.error:
            break
    return pcs


def describe(pc):
    block = gdb.execute(f"info symbol {pc:#x}", to_string=True).strip()
    return f"{pc:#x} {block}"


def interrupt_after(pid, seconds):
    """By another process: while gdb waits for the target, no Python runs here."""
    return subprocess.Popen(["sh", "-c", f"sleep {seconds:.4f}; kill -INT {pid}"])


def main():
    pid = gdb.selected_inferior().pid
    random.seed(int(os.environ.get("SEED", "1")))
    for setting in ("pagination off", "confirm off", "backtrace past-main on", "backtrace past-entry on",
                    "backtrace limit unlimited"):
        gdb.execute(f"set {setting}")
    gdb.execute("handle SIGINT stop print nopass", to_string=True)
    for name in ("SIGPROF", "SIGALRM", "SIGVTALRM"):
        gdb.execute(f"handle {name} nostop noprint pass", to_string=True)
    unwinder = subprocess.Popen([os.environ["FRAMES"], str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    n_frames = n_differ = n_root = n_points = 0
    deepest = n_astray = 0
    for _ in range(int(os.environ.get("POINTS", "100"))):
        timer = interrupt_after(pid, random.uniform(0.002, 0.03))
        gdb.execute("continue", to_string=True)
        timer.wait()
        values = [int(gdb.parse_and_eval(f"(unsigned long)${name}")) for name in REGISTERS]
        unwinder.stdin.write(" ".join(f"{v & (1 << 64) - 1:x}" for v in values) + "\n")
        unwinder.stdin.flush()
        end, *mine = unwinder.stdout.readline().split()
        mine = [int(pc, 16) for pc in mine]
        theirs = frames_of_gdb()
        n_points += 1
        n_frames += len(theirs)
        n_root += end == "root"
        deepest = max(deepest, len(theirs))
        # Where an exception moves the stack, gdb follows CFI that is wrong there to no address at all.
        if any(pc < 4096 for pc in theirs):
            n_astray += 1
        elif mine[:len(theirs)] != theirs:
            n_differ += 1
            at = next((i for i, (a, b) in enumerate(zip(mine, theirs)) if a != b), min(len(mine), len(theirs)))
            if n_differ <= 5:
                print(f"frame {at} of {len(theirs)} (gdb) and {len(mine)} (stax, {end}):")
                for what, pcs in (("gdb", theirs), ("stax", mine)):
                    for pc in pcs[max(0, at - 2):at + 3]:
                        print(f"  {what}: {describe(pc)}")
    unwinder.stdin.close()
    unwinder.wait()
    print(f"{n_points} points, {n_frames} frames, {n_differ} points differ; {n_root} reach the root, the deepest has {deepest}")
    return 1 if n_differ or n_astray > n_points // 10 or n_frames < 3 * n_points else 0


status = 1
try:
    status = main()
except Exception as error:  # gdb would end with 0
    print(f"{type(error).__name__}: {error}")
if gdb.selected_thread():
    gdb.execute("detach", to_string=True)
gdb.execute(f"quit {status}")
