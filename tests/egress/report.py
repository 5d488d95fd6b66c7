"""What an auditor reads: report.md for people, report.json for programs, with the digest of every file of evidence."""
import datetime
import hashlib
import json
import pathlib
import platform
import subprocess

FORMAT = 1
KEYS = {"format", "at", "clean", "profile", "versions", "programs", "scenarios", "leakers", "layers", "costs", "complaints",
        "evidence"}


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def version(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[0].strip()


def versions():
    return {"kernel": platform.release(), "machine": platform.machine(), "python": platform.python_version(),
            "strace": version("strace", "--version"), "nft": version("nft", "--version")}


def write(folder, scenarios, outcomes, costs, complaints, programs, profile):
    """Both reports; gives the digest of report.json."""
    layers = {}
    for outcome in outcomes:
        layers.setdefault(outcome.layers, {})[outcome.leak] = outcome.word
    evidence = {str(path.relative_to(folder)): digest(path) for path in sorted((folder / "evidence").rglob("*"))
                if path.is_file()}
    report = {"format": FORMAT, "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
              "clean": not complaints, "profile": profile, "versions": versions(),
              "programs": {name: digest(path) for name, path in programs.items()}, "scenarios": scenarios,
              "leakers": [{"leak": outcome.leak, "layers": outcome.layers, "frame": outcome.sent,
                           "attempt": outcome.attempted, "said": outcome.said} for outcome in outcomes],
              "layers": layers, "costs": costs, "complaints": complaints, "evidence": evidence}
    assert set(report) == KEYS
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "report.md").write_text(page(report))
    return digest(folder / "report.json")


def page(report):
    lines = ["# Egress proof", "", f"{report['at']}. Result: **{'clean' if report['clean'] else 'NOT clean'}**. "
             f"What is proved, how, and what is not: docs/egress-proof.md.", ""]
    lines += [f"- {complaint}" for complaint in report["complaints"]] + [""] * bool(report["complaints"])
    lines += ["## Scenarios", "", "Frames: sent by the appliance, canaries aside. Attempts: system calls outside the policy. "
              "Counted: packets of the agent's user, and of anybody, that came to the output hook for elsewhere.", "",
              "| scenario | what happens | network | s | processes | calls | frames | attempts | counted |",
              "|---|---|---|--:|--:|--:|--:|--:|--:|"]
    for one in report["scenarios"]:
        facts = one["facts"]
        lines.append(f"| {one['name']} | {one['text']} | {one['network']} | {facts['seconds']} | {facts['processes']} | "
                     f"{facts['calls_traced']} | {facts['frames_sent']} | {one['attempts']} | "
                     f"{facts['counted_agent']}, {facts['counted_others']} |")
    lines += ["", "## Planted leakers, by layer", "", "`out`: its frame was on the wire. `stopped`: it tried, the trace has it, no "
              "frame left. `not tried`: it could not even try. The first column is the control: all must be out, and found.", ""]
    columns = list(report["layers"])
    lines += ["| leaker | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for leak in report["layers"].get("none", {}):
        lines.append(f"| {leak} | " + " | ".join(report["layers"][column].get(leak, "") for column in columns) + " |")
    lines += ["", "## Cost", "", "| what | value |", "|---|--:|"]
    lines += [f"| {what} | {value} |" for what, value in report["costs"].items()]
    lines += ["", "## Versions and digests", "", "| what | value |", "|---|---|"]
    lines += [f"| {what} | {value} |" for what, value in report["versions"].items()]
    lines += [f"| {name} ({report['profile']}), SHA-256 | `{value}` |" for name, value in report["programs"].items()]
    lines += ["", "SHA-256 of every file of evidence:", "", "```"]
    lines += [f"{value}  {name}" for name, value in report["evidence"].items()]
    return "\n".join(lines + ["```", ""])
