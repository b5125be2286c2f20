import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local import job_states
from labkit.cloud.local.hyperparameters import HyperparameterTuningJobs
from labkit.cloud.local.status import ApiError

PARENT = "projects/123456789012/locations/us-central1"
STUDY = types.StudySpec
STATES = types.JobState
TRIAL = types.Trial.State

# What the package cloudml-hypertune does.
REPORT = """
import argparse, json, os, time
def report(value, step, tag=None):
    line = {"timestamp": time.time(), "trial": os.environ["CLOUD_ML_TRIAL_ID"],
            tag or os.environ["CLOUD_ML_HP_METRIC_TAG"]: str(float(value)), "global_step": str(step)}
    with open(os.environ["CLOUD_ML_HP_METRIC_FILE"], "a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\\n")
parser = argparse.ArgumentParser()
for name in ("x", "n", "colour", "size"):
    parser.add_argument("--" + name)
flags = parser.parse_args()
print(flags)
"""


def double(name, low, high, scale="UNIT_LINEAR_SCALE"):
    return {"parameter_id": name, "double_value_spec": {"min_value": low, "max_value": high}, "scale_type": scale}


def integer(name, low, high):
    return {"parameter_id": name, "integer_value_spec": {"min_value": low, "max_value": high}}


def categorical(name, *values):
    return {"parameter_id": name, "categorical_value_spec": {"values": values}}


def discrete(name, *values):
    return {"parameter_id": name, "discrete_value_spec": {"values": values}}


class Tuner:
    def __init__(self, lab):
        self.lab = lab
        self.jobs = HyperparameterTuningJobs(lab.cloud)

    def create(self, script, *parameters, trials=4, parallel=2, failed=0, output="", goal="MAXIMIZE", **study):
        job = types.HyperparameterTuningJob(
            display_name="tuning",
            study_spec={"metrics": [{"metric_id": "score", "goal": goal}], "parameters": parameters, **study},
            max_trial_count=trials,
            parallel_trial_count=parallel,
            max_failed_trial_count=failed,
            trial_job_spec={"worker_pool_specs": [self.lab.pool(REPORT + script)]},
        )
        job.trial_job_spec.base_output_directory.output_uri_prefix = output
        return self.jobs.CreateHyperparameterTuningJob(
            types.CreateHyperparameterTuningJobRequest(parent=PARENT, hyperparameter_tuning_job=job)
        )

    def run(self, *args, **more):
        job = self.lab.cloud.resources.get(self.create(*args, **more).name)
        self.lab.cloud.resources.wait(lambda: job_states.is_final(job), 1000)
        return job


@pytest.fixture
def tuner(lab):
    return Tuner(lab)


def values(trial):
    return {each.parameter_id: each.value for each in trial.parameters}


def test_a_grid_is_tried_completely_and_each_trial_is_a_job_with_its_parameters(tuner):
    parameters = [integer("n", 1, 2), categorical("colour", "red", "blue"), discrete("size", 0.5, 8)]
    job = tuner.run("report(flags.n, 1)", *parameters, trials=20, algorithm=STUDY.Algorithm.GRID_SEARCH)
    assert job.state == STATES.JOB_STATE_SUCCEEDED
    assert [trial.id for trial in job.trials] == [str(number) for number in range(1, 9)]
    assert len({str(sorted(values(trial).items())) for trial in job.trials}) == 8
    assert {trial.state for trial in job.trials} == {TRIAL.SUCCEEDED}
    last = job.trials[7]
    assert values(last) == {"n": 2, "colour": "blue", "size": 8}
    assert last.final_measurement.metrics[0].metric_id == "score"
    assert last.final_measurement.metrics[0].value == 2
    assert last.start_time <= last.end_time
    backing = tuner.lab.cloud.resources.get(last.custom_job)
    assert tuner.lab.log(backing) == ["Namespace(x=None, n='2', colour='blue', size='8')"]


def test_trials_have_output_directories_and_ids_of_their_own(tuner):
    script = "print(os.environ['AIP_MODEL_DIR'], os.environ['CLOUD_ML_TRIAL_ID'])\nreport(1, 1)"
    job = tuner.run(script, double("x", 0, 1), output="gs://lab/tuning/", trials=2)
    logs = [tuner.lab.log(tuner.lab.cloud.resources.get(trial.custom_job))[1] for trial in job.trials]
    assert sorted(logs) == ["gs://lab/tuning/1/model/ 1", "gs://lab/tuning/2/model/ 2"]


@pytest.mark.parametrize(
    ("selection", "goal", "value"),
    [("LAST_MEASUREMENT", "MAXIMIZE", 2), ("BEST_MEASUREMENT", "MAXIMIZE", 3), ("BEST_MEASUREMENT", "MINIMIZE", 1)],
)
def test_the_final_measurement_is_the_last_or_the_best(tuner, selection, goal, value):
    script = "report(1, 10); report(3, 20); report(9, 25, 'other'); report(2, 30)"
    job = tuner.run(script, double("x", 0, 1), trials=1, parallel=1, goal=goal, measurement_selection_type=selection)
    assert job.trials[0].final_measurement.metrics[0].value == value
    assert [each.step_count for each in job.trials[0].measurements] == [10, 20, 30]


@pytest.mark.parametrize("algorithm", ["RANDOM_SEARCH", "ALGORITHM_UNSPECIFIED"])
def test_searched_values_stay_in_their_bounds(tuner, algorithm):
    parameters = [double("x", 1e-4, 1e-1, "UNIT_LOG_SCALE"), integer("n", 3, 5), discrete("size", 16, 32)]
    job = tuner.run("report(flags.x, 1)", *parameters, trials=6, parallel=3, algorithm=algorithm)
    assert len(job.trials) == 6
    for trial in job.trials:
        found = values(trial)
        assert 1e-4 <= found["x"] <= 1e-1
        assert found["n"] in (3, 4, 5)
        assert found["size"] in (16, 32)


def test_a_trial_that_fails_or_reports_nothing_is_infeasible_and_says_why(tuner):
    script = "if flags.n == '1': raise SystemExit('no data')\nif flags.n == '3': report(1, 1)"
    job = tuner.run(script, integer("n", 1, 3), algorithm=STUDY.Algorithm.GRID_SEARCH)
    assert job.state == STATES.JOB_STATE_SUCCEEDED
    assert [trial.state for trial in job.trials] == [TRIAL.INFEASIBLE, TRIAL.INFEASIBLE, TRIAL.SUCCEEDED]
    assert "no data" in job.trials[0].infeasible_reason
    assert "CLOUD_ML_HP_METRIC_FILE" in job.trials[1].infeasible_reason


def test_too_many_failed_trials_fail_the_job_and_end_the_others(tuner):
    script = "if flags.n == '1':\n while True: time.sleep(1)\nraise SystemExit('no data')"
    job = tuner.run(script, integer("n", 1, 9), algorithm=STUDY.Algorithm.GRID_SEARCH, trials=9, failed=2)
    assert job.state == STATES.JOB_STATE_FAILED
    assert "max_failed_trial_count is 2" in job.error.message
    assert "no data" in job.error.message
    assert len(job.trials) == 3
    assert not tuner.lab.training()


def test_a_job_of_which_every_trial_failed_has_failed(tuner):
    job = tuner.run("raise SystemExit('no data')", integer("n", 1, 2), trials=2)
    assert job.state == STATES.JOB_STATE_FAILED
    assert "All trials failed" in job.error.message


def test_a_cancelled_job_ends_its_trials(tuner):
    job = tuner.create("while True: time.sleep(1)", integer("n", 1, 9))
    stored = tuner.lab.cloud.resources.get(job.name)
    tuner.lab.cloud.resources.wait(lambda: len(stored.trials) == 2, 1000)
    tuner.jobs.CancelHyperparameterTuningJob(types.CancelHyperparameterTuningJobRequest(name=job.name))
    found = tuner.jobs.GetHyperparameterTuningJob(types.GetHyperparameterTuningJobRequest(name=job.name))
    assert found.state == STATES.JOB_STATE_CANCELLED
    assert not tuner.lab.training()
    assert [trial.state for trial in found.trials] == [TRIAL.INFEASIBLE] * 2
    tuner.jobs.stop_tuning()
    listed = tuner.jobs.ListHyperparameterTuningJobs(types.ListHyperparameterTuningJobsRequest(parent=PARENT))
    assert [each.name for each in listed.hyperparameter_tuning_jobs] == [job.name]
    assert tuner.jobs.DeleteHyperparameterTuningJob(types.DeleteHyperparameterTuningJobRequest(name=job.name)).done


def test_a_line_that_is_no_measurement_is_said(tuner):
    script = "open(os.environ['CLOUD_ML_HP_METRIC_FILE'], 'w').write('score=0.9\\n')"
    job = tuner.run(script, integer("n", 1, 2), trials=1, parallel=1)
    assert "Line 1 of the file in CLOUD_ML_HP_METRIC_FILE is 'score=0.9'" in job.trials[0].infeasible_reason


def test_a_job_that_cannot_run_is_refused_in_words(tuner):
    good = integer("n", 1, 2)
    for parameters, more, words in (
        ([], {}, "parameters is required"),
        ([good], {"trials": 0}, "max_trial_count is 0"),
        ([good], {"trials": 2, "parallel": 3}, "more than max_trial_count"),
        ([good], {"failed": -1}, "max_failed_trial_count is -1"),
        ([good], {"decay_curve_stopping_spec": {"use_elapsed_duration": True}}, "Stopping trials early"),
        ([double("x", 0, 1)], {"algorithm": STUDY.Algorithm.GRID_SEARCH}, "'x' is DOUBLE"),
        ([integer("n", 0, 2**40)], {"algorithm": STUDY.Algorithm.GRID_SEARCH}, "a grid search here takes up to"),
        ([double("x", 2, 1)], {}, "expected min <= max"),
        ([double("x", 0, 1, "UNIT_LOG_SCALE")], {}, "needs more than 0"),
        ([discrete("size", 2, 1)], {}, "ascending"),
        ([categorical("colour")], {}, "one or more"),
        ([good, good], {}, "different parameter_ids"),
        ([{"parameter_id": "n"}], {}, "needs one of"),
        ([integer("a b", 1, 2)], {}, "without spaces"),
    ):
        with pytest.raises(ApiError, match=words):
            tuner.create("", *parameters, **more)


def test_what_goes_wrong_beside_a_trial_fails_the_job_and_is_logged(tuner, capsys):
    script = "open(os.environ['CLOUD_ML_HP_METRIC_FILE'], 'wb').write(b'\\xff')"
    job = tuner.run(script, integer("n", 1, 3), trials=1, parallel=1)
    assert job.state == STATES.JOB_STATE_FAILED
    assert "UnicodeDecodeError" in job.error.message
    assert "Traceback" in capsys.readouterr().err
