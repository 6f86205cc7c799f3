"""The shell part of a job: starts Python, passes signals on, and brings the job back to the queue.

It speaks to Slurm, so that Python need not: in a container there may be no command of Slurm's, and
where Python does not even start nobody else could say so. How a program ends tells what to do, and
the file that PYCLS_REASON names may hold the reason; it lies on the node's own disk, as the shared
one may be what is at fault.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

# Exit codes of a job's program, beside 0. None is one that Python ends with when it cannot start.
SOME_FAILED = 3
GAVE_UP = 4
DEFECT = 70
AGAIN = 76  # back to the queue, as after a signal
NODE_FAULT = 77  # ... on another node
STORAGE_FAULT = 78  # ... in a while
STORAGE_FAULT_AFTER_PROGRESS = 79

REASON_VARIABLE = "PYCLS_REASON"
# The Python of a launch whose jobs run a copy of it, which is on their node only.
PYTHON_VARIABLE = "PYCLS_PYTHON"
ARCHIVE_SUFFIX = ".tar"  # of a snapshot's, beside its folder
# What stands in the comment of a job (of Slurm) that met a fault.
COMMENT_MARK = "pycls:"
MOST_IN_A_ROW = 3
_MOST_NODES = 3  # so many that fail at once, and fewer that do not: it is not the nodes
_GROWTH = 4

_BEGIN = f"""\
pycls_job=${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID}}
pycls_job=${{pycls_job:-$SLURM_JOB_ID}}
pycls_ask() {{ # a command of Slurm's; its controller may be away for a while
    local said i
    for i in 1 2 3 4 5 6 7 8 9 10; do
        if said=$("$@" 2>&1); then printf '%s' "$said"; return 0; fi
        case $said in *ontact*|*onnect*|*"timed out"*) sleep 9 ;; *) break ;; esac
    done
    echo "$1 $2: $said" >&2
    return 1
}}
pycls_again() {{ # KIND REASON: back to the queue, if Slurm has not decided otherwise
    local kind=$1 node=${{SLURMD_NODENAME:-$(hostname)}} reason count=0 comment state delay=0 held=
    local bad good nodes own="${{pycls_comment:+$pycls_comment; }}"
    local file=$pycls_faults/$pycls_job.${{SLURM_RESTART_COUNT:-0}}.json
    trap '' USR1 USR2 TERM
    trap - ERR
    reason=$(printf '%s' "$2" | tr -s '\\n\\t"\\\\' '   '"'/" | cut -c1-300)
    state=$(pycls_ask squeue --noheader --jobs="$pycls_job" --format=%T)
    case $state in
        ''|RUNNING) ;;
        *) echo "$2; Slurm ends this job ($state)"; return ;;
    esac
    comment=$(pycls_ask squeue --noheader --jobs="$pycls_job" --format=%k)
    if [ "$kind" = stop ]; then
        case $comment in *{COMMENT_MARK}*)
            pycls_ask scontrol update JobId="$pycls_job" Comment="${{pycls_comment:--}}" ;; esac
    else
        [ "$kind" = progress ] || count=$(printf '%s' "$comment" |
            sed -n 's/.*{COMMENT_MARK} fault \\([0-9]*\\) .*/\\1/p')
        count=$((${{count:-0}} + 1))
        comment="${{own}}{COMMENT_MARK} fault $count in a row, on $node: $reason"
        [ $count -lt {MOST_IN_A_ROW} ] || held=$pycls_job
        pycls_ask scontrol update JobId="$pycls_job" Comment="$comment"
    fi
    if [ "$kind" = node ]; then
        mkdir -p "$pycls_faults"
        # Others read it at any moment: whole or not at all.
        [ -e "$file" ] || {{
            printf '{{"job": "%s", "node": "%s", "reason": "%s", "when": "%s"}}\\n' "$pycls_job" \\
                "$node" "$reason" "$(date -u +%Y-%m-%dT%H:%M:%S+00:00)" > "$file.partial"
            mv "$file.partial" "$file"
        }}
        nodes=$(pycls_nodes "$pycls_faults"/*.json)
        bad=$(pycls_nodes $(find "$pycls_faults" -name '*.json' -mmin -60) | wc -l)
        good=$(find "$pycls_faults"/../*/jobs -name '*.json' -mmin -60 2> /dev/null |
            xargs -r grep -l '"proved": true' | wc -l)
        if [ "$bad" -ge {_MOST_NODES} ] && [ "$bad" -gt "$good" ] ||
            ! sinfo --noheader --Node --partition="$SLURM_JOB_PARTITION" --format=%N |
                grep -qvxF "$nodes"
        then
            held=${{SLURM_ARRAY_JOB_ID:-$pycls_job}}
            comment="${{own}}{COMMENT_MARK} held, most starts fail; the last on $node: $reason"
        fi
    elif [ "$kind" != stop ]; then
        delay=$((pycls_delay * {_GROWTH} ** (count - 1)))
    fi
    echo "${{2}}; going back to the queue${{held:+, held there}}"
    if ! pycls_ask scontrol requeue "$pycls_job"; then echo "not requeued"; return; fi
    if [ "$held" ] && [ "$held" != "$pycls_job" ]; then
        pycls_ask scontrol update JobId="$held" Comment="$comment"
    elif [ "$kind" = node ]; then
        nodes=$(printf '%s\\n' "$nodes" | paste -sd, -)
        pycls_ask scontrol update JobId="${{SLURM_ARRAY_JOB_ID:-$pycls_job}}" \\
            ExcNodeList="${{pycls_exclude:+$pycls_exclude,}}$nodes"
    fi > /dev/null
    [ $delay -eq 0 ] || pycls_ask scontrol update JobId="$pycls_job" StartTime="now+$delay"
    [ -z "$held" ] || pycls_ask scontrol uhold "$held" > /dev/null
}}
pycls_nodes() {{ sed -n 's/.*"node": "\\([^"]*\\)".*/\\1/p' /dev/null "$@" | sort -u; }}
pycls_setup_failed() {{
    pycls_again node "the line of SETUP failed: $1 (exit code $2)"
    exit {AGAIN}
}}
export {REASON_VARIABLE}=$(mktemp 2> /dev/null)
trap 'pycls_setup_failed "$BASH_COMMAND" $?' ERR
"""

# Whoever comes first unpacks, and the others of the node wait for it.
_LOCAL = """\
pycls_unpack() { # ARCHIVE: print the folder on the node's own disk where it is unpacked
    local top=${PYCLS_STAGE:-${TMPDIR:-/tmp}}/pycls-$(id -u) folder
    mkdir -p -m 700 "$top" && [ -O "$top" ] || return 1
    folder=$top/$(basename "$1")-$(stat -L -c '%n %s %Y %i' "$1" | cksum | cut -d' ' -f1)
    (
        flock 9 || exit 1
        [ -e "$folder.whole" ] && exit 0
        rm -rf "$folder"
        mkdir "$folder" && tar -xf "$1" -C "$folder" && touch "$folder.whole" && exit 0
        rm -rf "$folder"
        exit 1
    ) 9> "$folder.lock" >&2 || return 1
    printf '%s' "$folder"
}
pycls_local() { # ARCHIVE SHARED: print what is unpacked, or the shared folder where it cannot be
    pycls_unpack "$1" || {
        echo "$1 cannot be unpacked on this node; the shared $2 is used" >&2
        printf '%s' "$2"
    }
}
"""

_END = f"""\
pycls_child=$!
for pycls_signal in USR1 USR2 TERM; do
    trap "kill -$pycls_signal $pycls_child 2> /dev/null" $pycls_signal
done
while wait $pycls_child; pycls_code=$?; kill -0 $pycls_child 2> /dev/null; do :; done
wait $pycls_child; pycls_code=$?
pycls_reason=$(cat "${REASON_VARIABLE}" 2> /dev/null); rm -f "${REASON_VARIABLE}"
case $pycls_code in
    {AGAIN}) pycls_again stop "${{pycls_reason:-told to stop}}" ;;
    {NODE_FAULT}) pycls_again node "${{pycls_reason:-the node cannot train}}" ;;
    {STORAGE_FAULT}) pycls_again storage "${{pycls_reason:-the storage failed}}" ;;
    {STORAGE_FAULT_AFTER_PROGRESS}) pycls_again progress "${{pycls_reason:-the storage failed}}" ;;
    1|126|127|132|134|135|136|139|255)
        pycls_again node "Python does not start (exit code $pycls_code)"; pycls_code={AGAIN} ;;
esac
exit $pycls_code
"""


def opening_lines(
    faults: Path, *, comment: str = "", exclude: Sequence[str] = (), delay_s: int = 0
) -> list[str]:
    """Return what stands before the user's own lines, of which one that fails ends the job.

    Args:
        faults: the folder of faults of nodes, in the folder of the launch.
        comment: the user's own, which is put before ours.
        exclude: nodes that the user leaves out.
        delay_s: how long a job that met a fault of the storage waits the first time, in seconds.
    """
    values = {"faults": str(faults), "comment": comment, "exclude": ",".join(exclude)}
    lines = [f"pycls_{name}={shlex.quote(value)}" for name, value in values.items()]
    return [*lines, f"pycls_delay={delay_s}", *_BEGIN.splitlines()]


def closing_lines(command: str) -> str:
    """Return what starts a command, stays with it to its end, and acts on it."""
    # In the background, as the shell acts on signals while it waits, not while a command runs.
    return f"trap - ERR\n{command} &\n{_END}"


def local_lines(python: str, environment: Path, code: Path | None) -> list[str]:
    """Return commands that set pycls_python and pycls_code to copies on the node's own disk.

    Starting Python from a shared file system costs thousands of looks at it; reading two files does
    not. Where they cannot be unpacked, the shared ones are used.

    Args:
        python: what starts Python in the shared environment, as the shell reads it.
        environment: an archive of that environment.
        code: the snapshot's folder, whose archive is beside it.
    """
    lines = [
        *_LOCAL.splitlines(),
        f"export {PYTHON_VARIABLE}={python}",
        f"pycls_python={python}",
        f'pycls_found=$(pycls_local {shlex.quote(str(environment))} "")',
        '[ ! -x "$pycls_found/bin/python" ] || pycls_python=$pycls_found/bin/python',
    ]
    if code is not None:
        both = f"{shlex.quote(str(code) + ARCHIVE_SUFFIX)} {shlex.quote(str(code))}"
        lines.append(f"pycls_code=$(pycls_local {both})")
    return lines
