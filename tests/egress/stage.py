"""Starts what runs on the appliance, and nothing else: strace follows it and everything it starts.

Takes one JSON object a line: {"start": [program, …], "env": {…}, "folder": …, "output": file}, {"kill": n, "signal": s},
{"wait": n}, {"poll": n}; n counts starts from 0. Answers each with one line: the process id, nothing,
the exit status, the exit status or null.
"""
import json
import os
import subprocess
import sys

from plan import AGENT_UID

started = []


def start(order):
    output = open(order["output"], "ab")
    started.append(subprocess.Popen(order["start"], env=order["env"], cwd=order["folder"], stdin=subprocess.DEVNULL,
                                    stdout=output, stderr=output, user=order.get("user", AGENT_UID),
                                    group=order.get("user", AGENT_UID), extra_groups=[]))
    return started[-1].pid


for line in sys.stdin:
    order = json.loads(line)
    if "start" in order:
        answer = start(order)
    elif "kill" in order:
        answer = os.kill(started[order["kill"]].pid, order["signal"])
    elif "poll" in order:
        answer = started[order["poll"]].poll()
    else:
        answer = started[order["wait"]].wait()
    print(json.dumps(answer), flush=True)
