"""The options of the verb predict are those that the tasks accept."""

import inspect
import re

import pytest

from eva_engine.commands import predict
from eva_engine.tasks import Option, Task, all_tasks

TASKS = {task.package: task for task in all_tasks()}
COMMON = {"config_file", "weights", "input", "output", "recursive", "device", "trust_recipe", "batch_size", "verbose"}
COMMON |= {"dtype", "compile", "value_range"}


def keywords(package: str) -> dict[str, inspect.Parameter]:
    return keywords_of(TASKS[package].load("predictor").from_config) | keywords_of(TASKS[package].load("file_task"))


def keywords_of(function) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters.items()
    return {name: parameter for name, parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def options(task: Task) -> tuple[Option, ...]:
    return (*task.predict_options, *task.output_options)


@pytest.fixture
def help_text(capsys) -> str:
    with pytest.raises(SystemExit) as ended:
        predict.main(["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_option_belongs_to_a_task_and_every_task_is_reached(help_text):
    name_of = {option.flag: option.name for task in TASKS.values() for option in options(task)}
    flags = re.findall(r"^  (--[a-z-]+)", help_text, flags=re.MULTILINE)
    shown = {name_of.get(flag, flag.lstrip("-").replace("-", "_")) for flag in flags}
    assert shown == COMMON.union(*(keywords(package) for package in TASKS))


@pytest.mark.parametrize("package", TASKS)
def test_options_of_a_task_are_the_keywords_of_its_predictor_and_file_task(package):
    task = TASKS[package]
    of_predictor = set(keywords_of(task.load("predictor").from_config)) - {"dtype"}  # an option of all tasks
    assert {option.name for option in task.predict_options} == of_predictor
    assert {option.name for option in task.output_options} == set(keywords_of(task.load("file_task")))


@pytest.mark.parametrize("package", TASKS)
def test_defaults_are_those_in_the_help(help_text, package):
    flag_of = {option.name: option.flag for option in options(TASKS[package])} | {"dtype": "--dtype"}
    for name, parameter in keywords(package).items():
        section = re.search(rf"^  {flag_of[name]} .*?(?=^  --|\Z|\n\n)", help_text, re.MULTILINE | re.DOTALL)
        text = " ".join(section[0].split())
        default = parameter.default
        if default in (None, False, (), parameter.empty):
            continue
        if isinstance(default, tuple):
            default = default[0]
        assert text.endswith(f"default: {default}"), name


def test_help_shows_a_command_for_each_task(help_text):
    projects = ("ViTDet", "Classification", "CLIP", "Video", "SemSeg")
    assert sorted(re.findall(r"--config-file projects/(\w+)/\S+ \\\n", help_text)) == sorted(projects)
