"""The batch script of an array of jobs, written with submitit.

Submitting, asking and requeueing are this project's own (:mod:`pycls.slurm.client`):
submitit's jobs are pickles that must be renamed after `sbatch` has answered, so that a crash in
between loses them, and it waits for each job by itself.
"""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError
from pycls.schema import STAGE_VARIABLE
from pycls.slurm.job_shell import PYTHON_VARIABLE, closing_lines, local_lines, opening_lines
from pycls.slurm.options import LaunchOptions

# To the batch process only: it tells its workers, who would be told twice otherwise.
_SIGNAL = "B:USR2"
# Until Python takes them: they would end a job that has hardly begun, which Slurm then does not
# requeue. A job that missed the signal gets SIGTERM at its end.
_UNTOLD = "trap '' USR1 USR2"
_OUTPUT = {"array": "%A_%a.log", "single": "%j.log"}


def script_text(
    options: LaunchOptions,
    *,
    folder: Path,
    job_name: str,
    module: str,
    arguments: Sequence[str] = (),
    count: int | None,
    throttle: int = 0,
    dependency: str | None = None,
    code: Path | None = None,
    faults: Path = Path("/dev/null"),
    left_out: Sequence[str] = (),
) -> str:
    """Return the script of an array of jobs, or of a single one.

    Args:
        options: what a job is given.
        folder: where jobs write what they print: ``<array>_<index>.log``, or ``<job>.log``.
        job_name: their name in Slurm.
        module: what each job runs, as ``python -m MODULE ARGUMENTS``.
        arguments: of the module.
        count: number of jobs of the array; None: a single job without an index.
        throttle: jobs of the array that run at a time; 0: any number.
        dependency: what must have ended before, such as "afterany:123:124".
        code: a snapshot of the package, which jobs run instead of what is installed.
        faults: the folder of faults of nodes, below that of the launch.
        left_out: nodes that are not used, beside those of the user's own `exclude`.

    Raises:
        ConfigError: a name or path holds what a script cannot.
    """
    # Imported here: who only looks at a launch needs no submitit.
    from pycls.slurm.script_writer import ScriptWriter

    for text in (str(folder), job_name, *arguments, str(code or ""), str(faults)):
        if not text.isprintable():
            raise ConfigError(
                f"{text!r} holds a line break or another control character, which a batch script "
                "cannot; choose another folder or name"
            )
    if "\\" in str(folder):
        raise ConfigError(
            f"{folder}: sbatch gives a backslash in the path of a log a meaning of its own; choose "
            "another folder"
        )
    output = _OUTPUT["single" if count is None else "array"]
    own_exclude = str(options.sbatch.get("exclude", ""))
    exclude = [node for node in (own_exclude, *left_out) if node]
    further = {
        **{n: _plain(v) for n, v in {**options.sbatch, **options.given_to_sbatch}.items()},
        "signal": f"{_SIGNAL}@{options.signal_before_s}",
        "requeue": True,
        **({"exclude": ",".join(exclude)} if exclude else {}),
        "output": f"{_escaped(_plain(str(folder)), '%')}/{output}",
    }
    writer = ScriptWriter(folder)
    writer.update_parameters(
        **{name: value for name, value in shares(options).items() if value is not None},
        job_name=_plain(job_name),
        dependency=dependency,
        setup=[
            _UNTOLD,
            *opening_lines(
                faults,
                comment=options.comment,
                exclude=[own_exclude] if own_exclude else [],
                delay_s=options.retry_delay,
            ),
            *options.setup,
            *environment_lines(options, code),
        ],
        additional_parameters=further,
        stderr_to_stdout=True,
        use_srun=False,
        wckey=None,  # submitit's own would be refused where keys are checked
    )
    command = f"{python_in_script(options)} -m {module} {shlex.join(arguments)}".rstrip()
    return writer.text(closing_lines(command), count, throttle or count or 1)


def shares(options: LaunchOptions) -> Mapping[str, Any]:
    """Return the shares of the cluster that a job asks for, by submitit's names; None: not."""
    several = options.nodes > 1
    gpus = options.gpus_of_node if options.gpus_of_node and not options.gres else None
    return {
        "nodes": options.nodes,
        "ntasks_per_node": options.gpus_of_node if several else 1,
        "cpus_per_task": options.cpus_per_gpu if several else options.cpus_of_node,
        "gpus_per_node": gpus,
        "mem": f"{round(options.mem_of_node * 1024)}M" if options.mem_of_node else None,
    }


def python_command(options: LaunchOptions) -> str:
    """Return what starts Python in a job, as the shell reads it.

    Raises:
        ConfigError: LAUNCH.CONDA_ENV is no environment's folder.
    """
    if options.python:
        return options.python
    if not options.conda_env:
        # That of a job may lie on its node's own disk.
        return shlex.quote(os.environ.get(PYTHON_VARIABLE, sys.executable))
    python = Path(options.conda_env).expanduser().absolute() / "bin" / "python"
    if not python.exists():
        raise ConfigError(
            f"{options.where('LAUNCH', 'CONDA_ENV')} is '{options.conda_env}', but there is no "
            f"{python}; expected the environment's folder, as 'conda env list' shows it"
        )
    return shlex.quote(str(python))


def python_in_script(options: LaunchOptions) -> str:
    """Return what starts Python after :func:`environment_lines`, as the shell reads it."""
    return '"$pycls_python"' if options.environment else python_command(options)


def environment_lines(options: LaunchOptions, code: Path | None) -> list[str]:
    """Return commands that put a snapshot before all other code, and say where copies of data go.

    Args:
        options: where copies on the node's own disk go, and a packed environment.
        code: the snapshot; None: none.
    """
    if code is not None and ":" in str(code):
        raise ConfigError(
            f"{code}: a folder of code cannot have ':' in its name, as Python takes it for two; "
            "choose another folder"
        )
    lines = []
    if options.stage:
        quoted = re.sub(r'(["`\\])', r"\\\1", options.stage)
        lines.append(f'export {STAGE_VARIABLE}="{quoted}"')
    if options.environment:
        archive = Path(options.environment).expanduser().absolute()
        if not archive.is_file():
            raise ConfigError(
                f"{options.where('LAUNCH', 'ENVIRONMENT')} is '{options.environment}', but there "
                f"is no {archive}; expected an archive of the environment (docs/cluster.md says "
                "how to make it)"
            )
        lines += local_lines(python_command(options), archive, code)
    elif code is not None:
        lines.append(f"pycls_code={shlex.quote(str(code))}")
    if code is None:
        return lines
    # Without the first, `python -m` prefers the folder it is started in: often a checkout.
    return [
        *lines,
        "export PYTHONSAFEPATH=1",
        'export PYTHONPATH="$pycls_code${PYTHONPATH:+:$PYTHONPATH}"',
    ]


def _plain(value: Any) -> Any:
    """Return a value in whose place sbatch reads it as it is: it drops single backslashes."""
    return _escaped(value, "\\") if isinstance(value, str) else value


def _escaped(text: str, character: str) -> str:
    return text.replace(character, 2 * character)
