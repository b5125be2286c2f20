from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.search import Search
from labkit.cloud.local.search_space import SearchSpace

STUDY = types.StudySpec
SPEC = STUDY.ParameterSpec
SCALE = SPEC.ScaleType


def double(low, high, scale, name="x"):
    return SPEC(parameter_id=name, double_value_spec={"min_value": low, "max_value": high}, scale_type=scale)


def test_scales_are_as_fine_as_their_names_say():
    def at(scale, place):
        return SearchSpace([double(1, 100, scale)]).at([place])["x"]

    assert at(SCALE.UNIT_LINEAR_SCALE, 0.5) == 50.5
    assert round(at(SCALE.UNIT_LOG_SCALE, 0.5), 6) == 10
    assert round(at(SCALE.UNIT_REVERSE_LOG_SCALE, 0.5), 6) == 91
    for scale in (SCALE.UNIT_LINEAR_SCALE, SCALE.UNIT_LOG_SCALE, SCALE.UNIT_REVERSE_LOG_SCALE):
        assert (round(at(scale, 0), 6), round(at(scale, 1), 6)) == (1, 100)


def test_a_parameter_whose_condition_does_not_hold_is_left_out():
    def optimizer(child):
        conditions = [{"parent_categorical_values": {"values": ["sgd"]}, "parameter_spec": child}]
        values = {"values": ["adam", "sgd"]}
        return SPEC(parameter_id="optimizer", categorical_value_spec=values, conditional_parameter_specs=conditions)

    space = SearchSpace([optimizer(double(0, 1, 0, "momentum"))])
    assert space.dimensions == 2
    assert space.at([0.1, 0.25]) == {"optimizer": "adam"}
    assert space.at([0.9, 0.25]) == {"optimizer": "sgd", "momentum": 0.25}
    steps = SPEC(parameter_id="steps", integer_value_spec={"min_value": 1, "max_value": 2})
    assert list(SearchSpace([optimizer(steps)]).grid()) == [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "steps": 1},
        {"optimizer": "sgd", "steps": 2},
    ]


def best(algorithm, rounds):
    """The best value of -(x - 0.7)² - (y - 0.2)² that a search finds."""
    study = STUDY(algorithm=algorithm, parameters=[double(0, 1, SCALE.UNIT_LINEAR_SCALE, name) for name in ("x", "y")])
    search, results = Search(study), {}
    for number in range(rounds):
        found = search.next(results)
        results[number] = -((found["x"] - 0.7) ** 2) - (found["y"] - 0.2) ** 2
    return max(results.values())


def test_the_default_search_learns_from_results():
    learned, by_chance = best(STUDY.Algorithm.ALGORITHM_UNSPECIFIED, 15), best(STUDY.Algorithm.RANDOM_SEARCH, 15)
    assert learned > -0.001
    assert learned > by_chance


def test_the_same_study_is_searched_in_the_same_way():
    algorithm = STUDY.Algorithm.RANDOM_SEARCH
    assert best(algorithm, 3) == best(algorithm, 3)


def test_results_that_are_all_the_same_or_missing_are_no_trouble():
    search = Search(STUDY(parameters=[double(0, 1, SCALE.UNIT_LINEAR_SCALE)]))
    results = {}
    for number in range(8):
        assert 0 <= search.next(results)["x"] <= 1
        if number != 2:
            results[number] = 1.0
