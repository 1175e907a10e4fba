import math

import pytest

from ranking import ALIASES, FEATURES, InvalidModel, LinearModel, global_model, parse, popularity_model


def test_every_alias_names_a_feature_and_shipped_models_use_only_features() -> None:
    assert set(ALIASES.values()) <= set(FEATURES)
    assert set(global_model().weights) <= set(FEATURES)
    assert not popularity_model().user_terms or all(
        name.endswith("_match") for name, _ in popularity_model().user_terms
    )


def test_feature_names_of_the_first_design_are_accepted() -> None:
    names = [*ALIASES, "bias"]
    model = LinearModel.checked("first", dict.fromkeys(names, 2.0))
    assert model.weights["category_affinity"] == 2.0
    assert model.weights["bias"] == 2.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True, 1e9])
def test_non_finite_or_out_of_bounds_weight_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidModel, match="quality"):
        LinearModel.checked("m", {"quality": value})


def test_unknown_feature_is_refused_with_a_list_of_known_ones() -> None:
    with pytest.raises(InvalidModel, match=r"Unknown feature 'qality'\. Known: .*quality"):
        LinearModel.checked("m", {"qality": 1.0})


def test_alias_beside_its_feature_name_is_refused() -> None:
    with pytest.raises(InvalidModel, match="two weights"):
        LinearModel.checked("m", {"CategoryAffinity": 1.0, "category_affinity": 2.0})


def test_override_replaces_only_what_it_names_and_leaves_the_original() -> None:
    model = LinearModel.checked("m", {"quality": 1.0, "bias": 3.0})
    other = model.overridden({"quality": 5.0, "recency": 1.0})
    assert other.weights == {"quality": 5.0, "bias": 3.0, "recency": 1.0}
    assert model.weights == {"quality": 1.0, "bias": 3.0}


@pytest.mark.parametrize(
    "document", [None, [], {"type": "lightgbm"}, {"type": "linear"}, {"type": "linear", "weights": {}}]
)
def test_a_model_of_another_type_or_without_its_parts_is_refused(document: object) -> None:
    with pytest.raises(InvalidModel):
        parse(document)


def test_model_reads_back_as_written() -> None:
    model = global_model()
    back = parse(model.to_document())
    assert (back.version, back.weights, back.static_terms, back.user_terms) == (
        model.version,
        model.weights,
        model.static_terms,
        model.user_terms,
    )
