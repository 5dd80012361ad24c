import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from growth.bridge import make_host
from growth.config import Experiment, load_experiment, packaged_experiments
from growth.learner import make_stream
from mosaic_sim import MosaicError


def resolve(*settings, source="split-digits-grow"):
    """Read a configuration and everything that it names."""
    experiment = load_experiment(source, settings)
    make_host(experiment)
    make_stream(experiment, experiment.seeds[0])
    return experiment


def leaves(section: type[BaseModel], path=""):
    """Every setting by its dotted name."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{path}{name}.")
        else:
            yield path + name


# --- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        # unknown keys, with the nearest known one
        (
            "hiden=3",
            r"unknown key 'hiden'. Did you mean 'hidden'\? It takes: name, strategy",
        ),
        (
            "chip.neuron_per_tile=8",
            "unknown key 'chip.neuron_per_tile'. Did you mean 'neurons_per",
        ),
        (
            "grow.windw=9",
            r"unknown key 'grow.windw'. Did you mean 'window'\? It takes: window, r",
        ),
        ("zebra.x=1", "unknown key 'zebra'. It takes"),
        # wrong types
        ("hidden=2.5", "hidden is 2.5: Input should be a valid array"),
        ("hidden='8'", "hidden is '8': Input should be a valid array"),
        ("leak=true", "leak is True: Input should be a valid number"),
        ("seeds=0", "seeds is 0: Input should be a valid array"),
        ("seeds=[1.5]", "seeds.0 is 1.5"),
        ("chip=3", "chip is 3"),
        ("technology=5", "technology is 5: Input should be a valid string"),
        # out of range
        ("hidden=-1", "hidden.0 is -1: Input should be greater than or equal to 1"),
        ("hidden=[8,0]", "hidden.1 is 0: Input should be greater than or equal to 1"),
        (
            "train.learning_rate=0",
            "train.learning_rate is 0: Input should be greater than 0",
        ),
        ("leak=1.5", "leak is 1.5: Input should be less than or equal to 1"),
        (
            "device.levels=1",
            "device.levels is 1: Input should be greater than or equal to 2",
        ),
        ("chip.rows=-2", "Chip.rows is -2; it needs an integer of at least 1"),
        ("chip.r1_lines=3", "each of the 24 neurons of a tile is wired .* at least 24"),
        ("stream.test_share=0.001", "test_share is 0.001, 2 of 1797 digits"),
        # not numbers
        ("leak=nan", "leak is nan: Input should be a finite number"),
        ("train.learning_rate=nan", "train.learning_rate is nan"),
        ("train.learning_rate=inf", "train.learning_rate is inf: Input should be a finite"),
        ("gate.gain=inf", "gate.gain is inf"),
        ("grow.loss_per_nanojoule=nan", "grow.loss_per_nanojoule is nan"),
        # malformed changes
        ("chip.rows", r"--set 'chip.rows' is not of the form section.key=value"),
        ("=3", "--set '=3' is not of the form"),
        ("name.x=3", "'name' is a value, not a section"),
        # unknown names, with the nearest known one
        ("chip.preset=deom", "Unknown chip preset 'deom'. Did you mean 'demo'"),
        ("technology=rram-130", "Unknown technology 'rram-130'. Did you mean 'rram-130nm'"),
        ("technology=none.toml", "There is no technology file 'none.toml'"),
        ("stream.dataset=digit", "Unknown data set 'digit'. Did you mean 'digits'"),
        ("train.loss=ce", "train.loss is 'ce': Input should be 'ce_count' or 'mse_count'"),
        ("name=../up", "name is '../up': String should match pattern"),
        # seeds and tasks
        ("seeds=[]", "seeds is .*: Tuple should have at least 1 item"),
        ("seeds=[1, 1]", r"seeds is \[1, 1\]: .*each seed may stand once"),
        ("seeds=[-1]", "seeds.0 is -1: Input should be greater than or equal to 0"),
        ("seeds=[4294967296]", "seeds.0 is 4294967296: Input should be less than"),
        ("stream.classes=[[0,1],[1,2]]", "each label from 0 to 9 may stand in one task"),
        ("stream.classes=[[0,10]]", "each label from 0 to 9"),
        ("stream.classes=[[3]]", r"Task 0 has classes \[3\]; it needs at least 2"),
        ("stream.classes=[]", "a stream needs at least one task"),
    ],
)
def test_a_bad_setting_is_refused_by_name_with_what_would_be_right(setting, message):
    with pytest.raises(MosaicError, match=message):
        resolve(setting)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "here.toml is not TOML"),
        ("\x00\xff", "here.toml is not TOML"),
        ("strategy = 'grow'", "'name' is missing"),
        ("name = 'x'\nstrategy = 'grow'\nseeds = [0, nan]", "seeds.1 is nan"),
        ("name = 'x'\nstrategy = 'grow'\n[gate]\ngain = nan", "gate.gain is nan"),
        ("name = 'x'\nstrategy = 'grow'\nname = 'y'", "is not TOML"),
        ("name = 1979-05-27\nstrategy = 'grow'\nhidden = 07:32:00", "hidden is '07:32:00'"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "here.toml").write_text(text, encoding="latin-1")
    with pytest.raises(MosaicError, match=message):
        load_experiment(tmp_path / "here.toml")


def test_what_is_no_file_is_refused_with_the_packaged_names(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for source in (
        tmp_path / "absent.toml",
        tmp_path,
        file / "below",
        "",
        "split-digits-gro",
    ):
        with pytest.raises(
            MosaicError, match=r"There is no configuration .* split-digits-grow"
        ):
            load_experiment(source)


# --- what is accepted --------------------------------------------------------------------


def test_the_packaged_experiments_resolve_and_are_the_three_of_the_demo():
    packaged = [resolve(source=name) for name in packaged_experiments()]
    assert sorted(e.strategy for e in packaged) == ["grow", "joint", "naive"]
    assert all(e.name in packaged_experiments() for e in packaged)
    assert len({(e.seeds, e.stream, e.chip, e.technology) for e in packaged}) == 1


def test_settings_change_what_they_name_and_nothing_else(tmp_path):
    plain = resolve()
    changed = resolve(
        "chip.rows=2", "technology = rram-22nm", "stream.classes=[[3,1],[0,2]]"
    )
    assert changed.chip.rows == 2
    assert changed.technology == "rram-22nm"
    assert changed.stream.classes == ((3, 1), (0, 2))
    same = {"chip": plain.chip, "technology": plain.technology, "stream": plain.stream}
    assert changed.model_copy(update=same) == plain


def test_a_toml_file_says_everything_again(tmp_path):
    experiment = resolve("seeds=[4,2]", "chip.columns=3", "train.loss=mse_count")
    written = tmp_path / "again.toml"
    written.write_text(experiment.to_toml())
    assert load_experiment(written) == experiment
    spelled_out = tomllib.loads(experiment.to_toml())
    assert spelled_out["train"].keys() == type(experiment.train).model_fields.keys()


OTHER = {
    "name": "other", "strategy": "joint", "technology": "rram-22nm", "chip.preset": "shd",
    "stream.dataset": "other", "stream.classes": ((0, 1),), "train.loss": "mse_count",
    "chip.broken_tiles": (1,), "chip.broken_routers": (0,), "chip.broken_lines": ((0, 1, 2),),
    "stream.kind": "rotated", "stream.datasets": ("digits",), "stream.angles": (45.0,),
    "stream.order": (0, 1), "stream.noise_tasks": (0,), "stream.protocol": "full",
    **{f"stream.{flag}": True for flag in (
        "rates", "by_group", "shuffle_classes", "relabel", "random_angles", "mixed", "identity",
    )},
    "hidden": (3, 4), "options": {"memory": 5}, "cell": "relu", "train.optimiser": "sgd",
    "stream.keep_first": False, "stream.boundaries": False, "train.renew": False,
    "conv.filters": (2,), "conv.strides": (2,),
}  # fmt: skip


@pytest.mark.parametrize("setting", list(leaves(Experiment)))
def test_the_fingerprint_changes_with_every_setting_but_the_seeds(setting):
    plain = load_experiment("split-digits-grow")
    *sections, last = setting.split(".")
    owner = plain
    for section in sections:
        owner = getattr(owner, section)
    value = getattr(owner, last)
    number = 5 if value is None else value + 1 if isinstance(value, int) else 0.77
    part = owner.model_copy(
        update={last: OTHER.get(setting, (9,) if last == "seeds" else number)}
    )
    changed = plain.model_copy(update={sections[0]: part}) if sections else part
    assert changed != plain
    assert (changed.fingerprint() == plain.fingerprint()) == (setting == "seeds")


def test_runs_on_whole_chips_keep_the_name_they_had_before_chips_could_be_broken():
    experiment = resolve("seeds=[4,2]")
    assert "broken_tiles" not in experiment.to_toml()
    assert resolve("chip.broken_tiles=[]").fingerprint() == experiment.fingerprint()


def test_the_fingerprint_is_the_same_in_every_process():
    experiment = load_experiment("split-digits-grow")
    assert experiment.fingerprint() == load_experiment("split-digits-grow").fingerprint()
    assert len(experiment.fingerprint()) == 8
    int(experiment.fingerprint(), 16)


def test_the_configurations_are_part_of_the_package():
    import growth

    folder = Path(growth.__file__).parent / "configs"
    assert sorted(path.stem for path in folder.glob("*.toml")) == packaged_experiments()
