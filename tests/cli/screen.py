"""screen.py ROWS COLUMNS FILE: what a terminal shows after the bytes of FILE; knows what stax and
plain text send. "|" ends each row, so that blanks can be seen."""
import re, sys

rows, columns = int(sys.argv[1]), int(sys.argv[2])
text = open(sys.argv[3], encoding="utf-8", errors="replace", newline="").read()
screen = [[" "] * columns for _ in range(rows)]
row = column = 0
saved = (0, 0)


def down():
    global row
    if row == rows - 1:
        screen.pop(0)
        screen.append([" "] * columns)
    else:
        row += 1


for token in re.findall(r"\033\[[0-9;?]*[A-Za-z]|\033.|.", text, re.S):
    number = int("".join(re.findall(r"^\033\[(\d+)", token)) or 1)
    if token == "\r":
        column = 0
    elif token == "\n" or token == "\033D":
        down()
    elif token == "\b":
        column = max(0, column - 1)
    elif token == "\0337":
        saved = (row, column)
    elif token == "\0338":
        row, column = saved
    elif token.startswith("\033[") and token[-1] == "A":
        row = max(0, row - number)
    elif token.startswith("\033[") and token[-1] == "H":
        row, column = min(rows, number) - 1, 0
    elif token in ("\033[J", "\033[K"):
        screen[row][column:] = [" "] * (columns - column)
        for below in range(row + 1, rows if token[-1] == "J" else 0):
            screen[below] = [" "] * columns
    elif token.startswith("\033") or token < " ":
        pass
    else:
        if column == columns:
            column = 0
            down()
        screen[row][column] = token
        column += 1
for line in screen:
    print("".join(line).rstrip() + "|")
