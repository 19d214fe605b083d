"""The commands of this package in the table of commands."""

from eva_engine.tasks import EVERY_TASK, Verb

VERBS = {
    "serve": Verb("try a model on a page in the browser, or by HTTP requests", "eva_deploy.commands.serve", EVERY_TASK),
    "benchmark": Verb(
        "measure speed, memory and accuracy of a model in several formats", "eva_deploy.commands.benchmark", EVERY_TASK
    ),
}
