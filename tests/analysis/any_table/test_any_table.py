import gzip
import math
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.analysis.any_table.correlations import correlation_table, matrix_table, table_warnings
from pycls.analysis.any_table.read import read_table
from pycls.analysis.any_table.rows import Request
from pycls.errors import ConfigError, DataError

WIDE = """model,a_err,b_err
n1,10.5,20
n2,11.5,30
n3,12.5,25
n4,13.5,40
n5,14.5,35
"""


@pytest.fixture
def read(tmp_path):
    def read_text(text, reference, *targets, encoding="utf-8", **known):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode(encoding))
        return read_table(path, Request(reference, targets, **known))

    return read_text


def said(table):
    return " ".join((*table.notes, *table.warnings))


def test_wide_table_is_read_as_it_is(read):
    table = read(WIDE, "a_err")
    assert table.targets == ("b_err",)
    assert table.errors.loc["n3"].tolist() == [12.5, 25]
    assert "Architectures are named by the column 'model'" in said(table)
    assert "Numbers are errors in a_err and b_err, as the names of the columns say" in said(table)
    assert not table.warnings


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\n\n"])
def test_any_delimiter_mark_and_line_end(read, delimiter, encoding, line_end):
    text = WIDE.replace(",", delimiter).replace("\n", line_end)
    expected = read(WIDE, "a_err").errors
    pd.testing.assert_frame_equal(read(text, "a_err", encoding=encoding).errors, expected)


def test_decimal_commas_percent_signs_and_spaces(read):
    text = (
        "model;a_err;b_err\nn1; 10,5 %;20\nn2;11,5 %;30\nn3;12,5 %;25\nn4;13,5 %;40\nn5;14,5 %;35"
    )
    table = read(text, "a_err")
    pd.testing.assert_frame_equal(table.errors, read(WIDE, "a_err").errors)
    assert "a_err: commas in numbers are read as decimal commas" in said(table)


def test_quoted_cells_may_hold_the_delimiter_and_line_ends(read):
    text = WIDE.replace("n2", '"n2, large\nversion"')
    assert read(text, "a_err").errors.index[1] == "n2, large\nversion"


def test_fractions_become_percent(read):
    table = read("model,a_err,b_err\nn1,0.1,0.2\nn2,0.15,0.3\n", "a_err")
    assert table.errors.loc["n2"].tolist() == pytest.approx([15, 30])
    assert "fractions of 1, because none is above 1" in said(table)
    assert read("model,a_err,b_err\nn1,0.1,0.2\n", "a_err", unit="percent").errors.iloc[0, 0] == 0.1


def test_percent_signs_say_what_small_numbers_are(read):
    table = read("model,a_err,b_err\nn1,0.1%,0.2\nn2,0.15%,0.3\n", "a_err")
    assert table.errors.loc["n2"].tolist() == pytest.approx([0.15, 30])
    assert "Numbers of a_err are percent, as their signs say" in said(table)
    long = "arch,dataset,err\nn1,x,0.5%\nn1,y,0.7%\nn2,x,0.6%\nn2,y,0.9%\n"
    assert read(long, "x").errors.loc["n2"].tolist() == [0.6, 0.9]
    with pytest.raises(ConfigError, match="end in '%'"):
        read(long, "x", unit="fraction")


def test_reference_without_any_value_ranks_nothing(read):
    table = read("model,a_err,b_err\nn1,,2\nn2,,3\n", "a_err")
    row = correlation_table(table).iloc[0]
    assert (row["n"], row["only_target"]) == (0, 2)
    assert math.isnan(row["regret_1"])
    assert "a_err: no value of 2 architectures" in " ".join(warnings_of(table))


def test_one_column_that_may_be_fractions_is_named(read):
    table = read("model,a_err,b_err\nn1,0.1,20\nn2,0.15,30\n", "a_err")
    assert "No number of a_err is above 1, while others are" in table.warnings[0]


@pytest.mark.parametrize("kind", ["accuracies", None])
def test_accuracies_become_errors(read, kind):
    text = WIDE.replace("_err", "" if kind else "_acc")
    table = read(text, "a" if kind else "a_acc", kind=kind)
    assert table.errors.loc["n1"].tolist() == [89.5, 80]
    assert "accuracies" in said(table)


def test_each_column_is_what_its_name_says(read):
    text = "model,a_acc,b_err\nn1,90,20\nn2,80,30\nn3,70,40\nn4,60,50\n"
    table = read(text, "a_acc")
    assert table.errors["a_acc"].tolist() == [10, 20, 30, 40]
    assert table.errors["b_err"].tolist() == [20, 30, 40, 50]
    assert "errors in b_err" in said(table)
    assert "accuracies in a_acc" in said(table)


def test_kind_is_found_by_the_values_and_said_back(read):
    table = read(WIDE.replace("_err", ""), "a")
    assert table.errors.loc["n1"].tolist() == [10.5, 20]
    assert "taken for errors, because the median of each column is at most 50 %" in said(table)


def test_kind_that_cannot_be_told_is_asked_for(read):
    text = "model,a,b\nn1,90,20\nn2,80,30\nn3,70,50\nn4,60,45\n"
    with pytest.raises(ConfigError, match=r"errors or accuracies.*give --errors or --accuracies"):
        read(text, "a")


def test_columns_that_rank_alike_are_of_the_kind_of_the_reference(read):
    rng = np.random.default_rng(0)
    good = rng.normal(75, 5, 60)
    rows = [f"n{i},{x:.2f},{x / 2:.2f}" for i, x in enumerate(good)]
    table = read("\n".join(["model,imagenet,sketch", *rows]), "imagenet")
    assert table.errors["sketch"].to_numpy() == pytest.approx(100 - good / 2, abs=0.01)
    assert "taken for accuracies: all columns rank the architectures in the same" in said(table)


def test_accuracies_given_as_errors_are_refused_by_name(read):
    with pytest.raises(ConfigError, match="said to be errors, but the column 'a_acc'"):
        read(WIDE.replace("a_err", "a_acc"), "a_acc", kind="errors")


def test_accuracies_given_as_errors_are_doubted_by_value(read):
    text = "model,a,b\nn1,90,70\nn2,80,75\nn3,70,65\n"
    assert (
        "median error of every column is above 50 %" in read(text, "a", kind="errors").warnings[0]
    )


def test_accuracies_beside_their_own_errors_are_refused(read):
    text = "model,top1,top1e\nn1,90.1,9.9\nn2,80,20\nn3,70,30\n"
    with pytest.raises(ConfigError, match="add up to 100 in every row"):
        read(text, "top1", "top1e", kind="accuracies")


def test_accuracies_among_errors_are_doubted(read):
    rng = random.Random(1)
    rows = [(i, 20 + i, 25 + i + rng.random(), 60 - i) for i in range(20)]
    text = "model,a,b,c\n" + "\n".join(f"n{i},{a},{b},{c}" for i, a, b, c in rows)
    table = read(text, "a", kind="errors")
    warnings = table_warnings(table, correlation_table(table))
    assert any(
        "accuracies among errors look like this" in text and "c (" in text for text in warnings
    )


def test_columns_that_hold_no_errors_are_named_and_left_out(read):
    text = "model,family,a_err,b_err,param_count,img_size,year,acts_m\n"
    text += "\n".join(f"n{i},cnn,{10 + i},{20 + i},{5 + i},224,2020,{i}" for i in range(5))
    table = read(text, "a_err")
    assert table.targets == ("b_err",)
    for name in (
        "family (text)",
        "param_count (no error",
        "img_size (no",
        "year (no",
        "acts_m (no",
    ):
        assert name in said(table)
    assert read(text, "a_err", "param_count").targets == ("param_count",)


def test_long_table(read):
    text = "arch,dataset,error\n" + "".join(
        f"n{i},{name},{value + i}\n" for i in range(4) for name, value in (("x", 10), ("y", 30))
    )
    table = read(text, "x")
    assert table.errors.loc["n2"].tolist() == [12, 32]
    assert table.targets == ("y",)
    assert "data sets in the column 'dataset'" in said(table)
    renamed = text.replace("arch,dataset,error", "who,where,how")
    known = {"id_columns": ("who",), "dataset_column": "where", "error_column": "how"}
    pd.testing.assert_frame_equal(read(renamed, "x", **known).errors, table.errors)


def test_long_table_takes_a_number_before_a_failure(read):
    text = "arch,dataset,error\nn1,x,\nn1,x,10\nn1,y,20\nn2,x,11\nn2,y,nan\n"
    table = read(text, "x")
    assert table.errors.loc["n1"].tolist() == [10, 20]
    assert math.isnan(table.errors.loc["n2", "y"])


def test_long_and_wide_of_the_same_numbers_agree(read):
    wide = read(WIDE, "a_err").errors
    rows = [f"{a},{d},{v}" for a, row in wide.iterrows() for d, v in row.items()]
    random.Random(0).shuffle(rows)
    long = read("\n".join(["model,benchmark,err", *rows]), "a_err")
    pd.testing.assert_frame_equal(long.errors.loc[wide.index], wide)


def test_repeated_rows_count_once_and_are_named(read):
    table = read(WIDE + "n3,12.5,25\n", "a_err")
    assert len(table.errors) == 5
    assert "1 row left out because it repeats another one, the first on line 7 (n3)" in said(table)
    table = read("a_err,b_err\n1,2\n1,2\n3,4\n", "a_err")
    assert len(table.errors) == 3
    assert "1 row is equal to an earlier one, the first on line 3" in said(table)


@pytest.mark.parametrize(
    ("text", "known", "error", "message"),
    [
        (WIDE + "n3,50,25\n", {}, DataError, "n3 has 2 different rows, lines 4 and 7.*a_err"),
        ("arch,dataset,error\nn1,a_err,1\nn1,a_err,2\n", {}, DataError, "n1 on a_err has 2"),
        (WIDE.replace("30", "bad"), {}, ConfigError, "line 3, column 'b_err': 'bad'"),
        (WIDE.replace("30", "30 ± 1"), {}, ConfigError, "line 3.*expected a number"),
        (WIDE.replace("30", "130"), {"targets": ("b_err",)}, ConfigError, "n2 has an error of 130"),
        (WIDE.replace("11.5", "-2"), {}, ConfigError, "n2 has an error of -2"),
        (WIDE + "n6,1\n", {}, ConfigError, "line 7: 2 cells, where the header has 3"),
        (WIDE.replace("b_err", "a_err"), {}, ConfigError, "'a_err' more than once"),
        (WIDE.replace("n4", ""), {}, ConfigError, "line 5: no name in the column 'model'"),
        (WIDE, {"targets": ("c",)}, ConfigError, "no column 'c'; the columns are model, a_err"),
        (WIDE, {"id_columns": ("c",)}, ConfigError, r"no column 'c' \(--id\)"),
        (WIDE, {"targets": ("a_err",)}, ConfigError, "is the reference"),
        (WIDE, {"targets": ("b_err", "b_err")}, ConfigError, "named twice"),
        (WIDE, {"layout": "long"}, ConfigError, "which column names the data set"),
        ("model,a_err\nn1,2\n", {}, ConfigError, "no column to compare"),
        ("arch,dataset,error\nn1,a_err,1\n", {}, ConfigError, "the only data set"),
        ("arch,dataset,error\nn1,z,1\n", {}, ConfigError, "neither a column nor a data set"),
        ("arch,dataset,z\nn1,a_err,1\n", {}, ConfigError, "Name it with --error"),
        ("model,a_err,b_err\n", {}, ConfigError, "only a header line"),
        ("a_err\n1\n", {}, ConfigError, "one column only"),
        ("", {}, ConfigError, "the file is empty"),
        ("a_err,b_err\0\n1,2\n", {}, ConfigError, "not a text"),
    ],
)
def test_mistakes_in_tables_are_named(read, text, known, error, message):
    targets = known.pop("targets", ())
    with pytest.raises(error, match=message):
        read(text, "a_err", *targets, **known)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_table(tmp_path / "none.csv", Request("a"))
    with pytest.raises(ConfigError, match="is a folder"):
        read_table(tmp_path, Request("a"))
    (tmp_path / "latin.csv").write_bytes("model,a\nré,1\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        read_table(tmp_path / "latin.csv", Request("a"))


def warnings_of(table):
    return table_warnings(table, correlation_table(table))


def test_missing_and_infinite_cells_are_named_and_left_out_in_pairs(read):
    text = WIDE.replace("11.5", "n/a").replace("40", "inf") + "n6,15.5,50\nn7,,\n"
    table = read(text, "a_err")
    found = " ".join(warnings_of(table))
    assert "b_err: 1 infinite value taken as missing" in found
    assert "a_err: no value of 2 architectures (n2 and n7)" in found
    row = correlation_table(table).iloc[0]
    assert (row["n"], row["only_reference"], row["only_target"]) == (4, 1, 1)
    assert row["rho"] == pytest.approx(1)


def test_one_architecture_constant_columns_and_few_are_named(read):
    one = read("model,a_err,b_err\nn1,1.5,2\n", "a_err")
    assert warnings_of(one) == [
        "There is one architecture only, so there is no ranking to compare."
    ]
    assert math.isnan(correlation_table(one)["rho"][0])
    constant = read("model,a_err,b_err\n" + "".join(f"n{i},{i},7\n" for i in range(9)), "a_err")
    found = " ".join(warnings_of(constant))
    assert "b_err is constant: all 9 errors are 7.00 %" in found
    assert "Few architectures: 9 have both a_err and b_err" in found
    row = correlation_table(constant).iloc[0]
    assert math.isnan(row["rho"])
    assert row["regret_1"] == 0


def test_two_populations_are_doubted(read):
    apart = "model,a_err,b_err\n" + "".join(
        f"n{i},{i + 1 if i < 30 else ''},{i if i > 24 else ''}\n" for i in range(60)
    )
    assert "Two populations may be mixed up" in " ".join(warnings_of(read(apart, "a_err")))
    rng = np.random.default_rng(0)
    rows = []
    for i in range(80):
        offset = 20 * (i % 2)
        a, b = offset + 5 * rng.random(2)
        rows.append(f"n{i},{'old' if i % 2 else 'new'},{a:.3f},{b:.3f}\n")
    pooled = read("model,era,a_err,b_err\n" + "".join(rows), "a_err")
    assert "within the groups of 'era'" in " ".join(warnings_of(pooled))


NUMBERS = st.lists(st.tuples(*[st.integers(0, 10_000)] * 3), min_size=5, max_size=25)


@settings(max_examples=8)
@given(NUMBERS)
def test_errors_and_accuracies_give_the_same_table(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("kinds") / "t.csv"
    tables = []
    for kind in ("err", "acc"):
        lines = [f"model,a_{kind},b_{kind},c_{kind}"]
        for i, row in enumerate(rows):
            numbers = [v if kind == "err" else 10_000 - v for v in row]
            lines.append(",".join([f"n{i}", *(f"{v / 100:.2f}" for v in numbers)]))
        path.write_text("\n".join(lines))
        table = read_table(path, Request(f"a_{kind}", unit="percent"))
        tables.append(correlation_table(table).drop(columns=["reference", "target"]))
    pd.testing.assert_frame_equal(*tables, atol=1e-8)


def test_matrix_has_every_pair_once(read):
    rng = np.random.default_rng(3)
    values = rng.uniform(5, 40, (30, 4))
    rows = [f"n{i}," + ",".join(f"{v:.2f}" for v in row) for i, row in enumerate(values)]
    table = read("\n".join(["model,a,b,c,d", *rows]), "b")
    matrix = matrix_table(table)
    assert list(zip(matrix["dataset_a"], matrix["dataset_b"], strict=True)) == [
        *(("b", "a"), ("b", "c"), ("b", "d"), ("a", "c"), ("a", "d"), ("c", "d")),
    ]
    expected = pd.DataFrame(np.round(values, 2), columns=list("abcd")).corr("spearman")
    for row in matrix.to_dict("records"):
        assert row["rho"] == pytest.approx(
            expected.loc[row["dataset_a"], row["dataset_b"]], abs=1e-12
        )
    assert (matrix["p_adjusted"] >= matrix["p"]).all()


def test_imagenet_and_its_variants_are_data_sets(read):
    names = ("ImageNet", "ImageNet-100", "ImageNet-V2", "Image_Net R", "CLEVR Count", "NYU depth")
    rows = [f"n{i}," + ",".join(str(10 + i + i * j % 5) for j in range(7)) for i in range(6)]
    table = read("\n".join([f"model,cifar,{','.join(names)}", *rows]), "cifar", kind="errors")
    assert table.targets == names


def test_averages_and_columns_the_other_way_round_are_no_targets(read):
    rows = []
    for i in range(8):
        numbers = (70 + i, 60 + i * i / 2, 40 - 3 * i, 55 + (i % 3))
        rows.append(
            f"n{i},{','.join(map(str, numbers))},{sum(numbers) / 4:.2f},{100 - numbers[0]},1.5"
        )
    text = "\n".join(["model,a,b,c,d,all,a left,Average perf. on 4 datasets", *rows])
    table = read(text, "a", kind="accuracies")
    assert table.targets == ("b", "c", "d")
    assert "all (the average of the other columns)" in said(table)
    assert "a left (a the other way round)" in said(table)
    assert "Average perf. on 4 datasets (an average, by its name)" in said(table)


SIZES = "model,img_size,top1_err,top5_err\n" + "".join(
    f"n{i},{size},{20 + i + size / 100},{5 + i}\n" for i in range(5) for size in (224, 288)
)


@pytest.mark.parametrize("known", [{}, {"id_columns": ("model", "img_size")}])
def test_several_columns_name_an_architecture(read, known):
    table = read(SIZES, "top1_err", **known)
    assert table.errors.index[:2].tolist() == ["n0, 224", "n0, 288"]
    assert len(table.errors) == 10


def test_repeats_are_averaged_as_asked(read):
    table = read(SIZES, "top1_err", id_columns=("model",), average_repeats=True)
    assert table.errors.loc["n1"].tolist() == pytest.approx([21 + 2.56, 6])
    assert "10 rows give 5 means, of up to 2 each" in said(table)
    long = "arch,dataset,err\nn1,x,1\nn1,x,2\nn1,y,5\nn2,x,7\nn2,y,8\nn2,y,\n"
    table = read(long, "x", average_repeats=True)
    assert table.errors.to_numpy().tolist() == [[1.5, 5], [7, 8]]
    with pytest.raises(DataError, match="--id, or average them with --average-repeats"):
        read(long, "x")


def test_scores_and_costs_are_ranked_as_they_are(read):
    text = "arch,synflow,acc,params\na,1e5,90,5\nb,3e6,92,7\nc,2e7,94,9\nd,4e4,80,3\n"
    table = read(text, "synflow", "acc", "params")
    found = correlation_table(table).set_index("target")
    assert found.loc["acc", "rho"] == pytest.approx(1)
    assert found.loc["params", "rho"] == pytest.approx(-1)
    assert math.isnan(found.loc["params", "best"])
    assert found.loc["acc", "best"] == 6
    assert "synflow: no percentages, ranked as scores" in said(table)
    assert "params: no percentages, ranked as costs" in said(table)
    turned = read(text, "synflow", "acc", costs=("synflow",))
    assert correlation_table(turned)["rho"][0] == pytest.approx(-1)


def test_accuracies_of_one_column_may_be_fractions(read):
    text = "arch,imagenet,cifar\nn1,0.761,93.2\nn2,0.775,94\nn3,0.789,94.9\n"
    for kind in (None, "accuracies"):
        table = read(text, "imagenet", kind=kind)
        assert table.errors.loc["n1"].tolist() == pytest.approx([23.9, 6.8])
    assert "Accuracies of imagenet are read as fractions" in said(table)


@pytest.mark.parametrize("form", ["{}±0.3", "{} +/- 0.3", "{} (0.3)", "{}% ± 0.3%"])
def test_means_with_deviations_are_read(read, form):
    text = "\n".join(
        [
            "arch,a_err,b_err",
            *(f"n{i},{form.format(20.5 + i)},{form.format(30 - i)}" for i in range(4)),
        ]
    )
    table = read(text, "a_err")
    assert table.errors.loc["n3"].tolist() == [23.5, 27]
    assert "the mean is read" in said(table)


def test_table_with_a_row_per_data_set_is_turned_round(read):
    text = "dataset,n0,n1,n2,n3\nimagenet,10,20,30,40\ncifar,5,7,6,8\n"
    table = read(text, "imagenet")
    assert table.errors.loc["n1"].tolist() == [20, 7]
    assert "read transposed" in said(table)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", b'[{"arch": "a", "imagenet": 1}]', "JSON is not read"),
        ("t.csv.gz", b"\x1f\x8b\x08\x00", "damaged or cut short"),
        ("t.md", b"| arch | imagenet |\n|:---|---:|\n| a | 1 |\n", "Markdown is not read"),
        ("t.xlsx", b"PK\x03\x04\x14", "a ZIP archive or a workbook"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\noid x\n", "git lfs pull"),
        ("t.csv", b"arch,ImageNet\na,1\n", "did you mean 'ImageNet'"),
        ("t.parquet", b"PAR1\x15\x04", "a Parquet table"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_table(tmp_path / name, Request("imagenet"))


def test_rows_that_sum_up_the_others_are_left_out_and_named(read):
    table = read(
        "arch,imagenet,cifar\na,1,2\nb,3,4\nMean,2,3\nstd,1,1\n", "imagenet", kind="errors"
    )
    assert list(table.errors.index) == ["a", "b"]
    assert "Left out: 'Mean' and 'std'" in " ".join(table.warnings)


def test_a_table_packed_by_gzip_is_read(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"arch,imagenet,cifar\na,1,2\nb,3,4\n"))
    table = read_table(tmp_path / "t.csv.gz", Request("imagenet", kind="errors"))
    assert table.errors.loc["b"].tolist() == [3, 4]


def write_files(folder, **texts):
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name.replace('__', '-')}.csv")
        paths[-1].write_text(text)
    return paths


def test_files_of_a_data_set_each_are_joined(tmp_path):
    rng = np.random.default_rng(0)
    accuracies = np.round(rng.uniform(40, 90, (2, 12)), 3)

    def text(values, order, extra):
        lines = [f"model,img_size,top1,top1_err,param_count{extra}"]
        for i in order:
            size = 288 if i % 2 else 224  # each model at two sizes
            row = f'n{i // 2}.in1k,{size},{values[i]},{100 - values[i]:.3f},"1,0{i:02}.5"'
            lines.append(row + (f",-{i}.5,+{i}" if extra else ""))
        return "\n".join(lines)

    paths = write_files(
        tmp_path,
        results__imagenet=text(accuracies[0], range(12), ""),
        results__imagenet__a=text(accuracies[1], range(10, -1, -1), ",top1_diff,rank_diff"),
    )
    for column, reference in (("top1", "imagenet"), (None, "results-imagenet")):
        table = read_table(paths[0], Request(reference, error_column=column), *paths[1:])
        assert (table.reference, table.targets) == ("imagenet", ("imagenet-a",))
        assert table.errors.loc["n1.in1k, 288"].tolist() == pytest.approx(100 - accuracies[:, 3])
        assert math.isnan(table.errors.loc["n5.in1k, 288", "imagenet-a"])
        expected = pd.Series(accuracies[0][:11]).corr(pd.Series(accuracies[1][:11]), "spearman")
        assert correlation_table(table)["rho"][0] == pytest.approx(expected)


def test_columns_of_several_files_are_joined(tmp_path):
    one = "model,a_err,params\nn1,1,5\nn2,2,6\nn3,3,7\n"
    paths = write_files(tmp_path, one=one, two="model,b_err,c_err\nn3,7,1\nn1,9,\n")
    table = read_table(paths[0], Request("b_err"), *paths[1:])
    assert table.targets == ("a_err", "c_err")
    assert table.errors.loc["n3"].tolist() == [7, 3, 1]
    again = write_files(tmp_path, three="model,a_err\nn1,4\n")
    with pytest.raises(DataError, match="n1 has another 'a_err' there"):
        read_table(paths[0], Request("a_err"), paths[1], *again)
    with pytest.raises(ConfigError, match="no file has a column 'z'"):
        read_table(paths[0], Request("z"), paths[1])


def test_some_missing_values_are_no_different_population(read):
    rows = [f"n{i},{i if i % 7 else ''},{i * i % 40 if i % 5 else ''}" for i in range(40)]
    found = " ".join(warnings_of(read("\n".join(["model,a_err,b_err", *rows]), "a_err")))
    assert "no value of" in found
    assert "different architectures" not in found


def published(layout):
    """Return a table with the columns of a published one, of 60 models in 15 families."""
    rng = np.random.default_rng(0)
    words = ["alpha", "beta", "gamma", "delta", "kappa", "sigma", "omega", "theta"]
    words += [f"{word}net" for word in words[:7]]
    good = rng.normal(75, 6, 15)
    rows = []
    for place, word in enumerate(words):
        for size in (18, 34, 50, 101):
            first = good[place] + rng.normal(0, 1)
            second = first - 12 + rng.normal(0, 1)
            if layout == "timm":
                rows.append(
                    f"{word}{size}.a1_in1k,224,{first:.3f},{100 - first:.3f},{first + 9:.3f},"
                    f"{91 - first:.3f},{size}.1,0.875,bicubic"
                )
            else:
                name = f"{word}-B-{size}"
                rows.append(
                    f"{name},openai,{size}.5,{size}.2,{(first + second) / 200:.4f},"
                    f"{first / 100:.4f},{second / 100:.4f},{(second - 20) / 100:.4f}"
                )
    head = {
        "timm": "model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation",
        "openclip": "name,pretrained,params (M),FLOPs (B),Average perf. on 38 datasets,"
        "ImageNet 1k,ImageNet-V2,ImageNet-A",
    }[layout]
    return "\n".join([head, *rows, ""])


@pytest.mark.parametrize(
    ("layout", "reference", "family", "targets"),
    [
        ("timm", "top1", "model", ("top5",)),
        ("openclip", "ImageNet 1k", "name", ("ImageNet-V2", "ImageNet-A")),
    ],
)
def test_published_layouts_are_read_as_they_are_and_families_widen(
    read, layout, reference, family, targets
):
    plain = read(published(layout), reference)
    assert plain.targets == targets
    narrow = correlation_table(plain)
    [warning] = [text for text in table_warnings(plain, narrow) if "families" in text]
    assert "alpha (4)" in warning
    assert "--family" in warning
    table = read(published(layout), reference, family_column=family)
    assert "15 of 60 architectures" in said(table)
    wide = correlation_table(table)
    assert not [text for text in table_warnings(table, wide) if "amil" in text]
    pd.testing.assert_series_equal(wide["rho"], narrow["rho"])
    assert (wide["ci_high"] - wide["ci_low"] > narrow["ci_high"] - narrow["ci_low"]).all()
    assert wide["better_1_low"].isna().all()
    whole = matrix_table(table)
    assert whole["ci_low"].tolist()[: len(targets)] == wide["ci_low"].tolist()


def test_few_families_show_no_interval_and_a_missing_column_is_named(read):
    rows = [f"n{i},{'abc'[i % 3]},{20 + i}.5,{30 + i * 7 % 11}" for i in range(12)]
    text = "\n".join(["model,kind,a_err,b_err", *rows])
    table = read(text, "a_err", family_column="kind")
    found = correlation_table(table)
    assert found["ci_low"].isna().all()
    assert found["p"].isna().all()
    assert "3 families of architectures: fewer than 10" in " ".join(table_warnings(table, found))
    with pytest.raises(ConfigError, match="no column 'family' \\(--family\\)"):
        read(text, "a_err", family_column="family")
