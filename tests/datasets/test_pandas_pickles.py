"""Pickled pandas tables are read without pandas, and no code of a pickle is run."""

from __future__ import annotations

import base64
import gzip
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas_pickles import frame_bytes

from clip3d_cli.datasets.pandaset.pandas_pickles import read_pickled_frame
from clip3d_cli.errors import InputError

# x = 1.5, 2.5, 3.5; y = 4, 5, 6; i = 7, 8, 9; d = 0, 1, 0; rows 2, 0, 1. Written by pandas itself.
WRITTEN = {
    "pandas 1.0.5, protocol 2": (
        "c-nPTTUXOS5N@H|0xBvhsDO8aN~MYjih>9zREn;*c&TxdE^MSt`I3#&bL=_#0LVY`-"
        "5;jAo4^5;eaLKf=9~Fuc4ogdxU1AJ(J<>)1D0J1XoVTmRM1(yLu%kV(seYLR#PgKvP)8f#yt?v7cB5;Im}k5Pn"
        "TH`8dK$}yRs1f8OTT%O=c0z=3lrHTVr9?p&>JDpMA0C)QN$X{ml}K);iiuD<cVMK8EW@mDO5oUx~`Xqd`Dxh8-"
        "}s>W3nTTw$O+wlbt^twl#ZwT=U>?N&?74Gre2je&z!S~_-"
        "c$ZD3dOoiv?(7A!b1V=V;l%UJZr}LS097`OQL~T{#j#~}VesL5hwtj4)o1n+cH)>yBak5Y-"
        "%>R~4fASLor<|=KPMcc4hF&de=+n|ezm_GOVFG6zovAOc1Lq3S2F?>);Qud@B*X&Gm30y$!%49&)^W+?25;v&;"
        "mcfRVG<0eEE?Bwg~!CbQCwBTuMrGx6CX!*FY%PXb!Uqow7R8Mp?0ryA~D2expD+I1a3N9a~>wR#flg)w`tr~G)"
        "4)=6pe;_;|A^|M3zQzR}mQ}xF?D5e<|G86mmO(fBl?@H<`&;b|kVhkzI-Gp2URWHc9Y6V9MDh^H7nQCYaeFGs_"
        "26j3EhXNusnSvTdKVw-"
        "+9%5RVDw1m+!?bl&7GT(<0!UAM5HA{Gc1b;NZ%<vp?=o|(Lt_sKgaN!gwgyokXscY$9i@M{7q0l(4Uw<hoBs$t"
        "$G;P(VYR>ue3$3xlNa5e|Kj*s!=P}wh_yjg1<HLxL^B3!eMlBo|r({dzj7$37#?v>@hmS!QAT-"
        "$acPmY;y+eTRST-"
        "p80`IM|&dJ~+$i|Y7fa>i%)5?_|b8Kqbukp7}jpb~eqE$0Tl)s~F0etJ;V|8|85s%Lw(2<WGW3K4_|>Ifqz`v)"
        "KuUkm"
    ),
    "pandas 1.0.5, protocol 4": (
        "c-"
        "oCqQESvd5KeN*^;%oB(Bg?u@IgI&2rU%tgV1V4sKFC_FJY5xyU}Ft*le^19_T}>g?;PzbNpYv>FjO}a@qqIlG&"
        "ZzneY2{XTJD9es&x))cTn4j8tJd5;Qy!q@<vhUlK`PnfVnw`U+DRs36YJ32Li-KIf7OPKqil2`8siRG?O06r=R"
        "R8@smggJVq4pAXFF8Lh&EREW0{bNVSh(mo7eH&ig2Yh>R7Z}PevPi%Nu7cwV8kO|_&f~F&0Nl~W~LsVc6f?7g2"
        "bL0vl=Nt~*1iryL7({O5p99-eK_(|-Em3)I_u%ro-"
        "R&s%GYp5r*S~R?U$ieFxzrlmGf*z3c60nPpy*dV*Y`B6FEE;|sk_(7L`GEPDJnhU^2u&X9b0D`?6&5|?#$SAaI"
        "vMle2&wzzc@LX(_!Cp=7-x@z-{)}vZ6@+UlcFuTo{~_77p9H4rSZs{Izebe_-uuV{bKfqp|%1gT4UqDdt;hSoR"
        "vbyg-H1Qe#xCv6~An&BMh#{YdOSdq7+2|10Jp8?<BS6jXOR+}RCxYzY#4MPMtco9N=M0AsYj`;ip2-"
        "g&Ni<*A5q6FZ=n)H&8C$7xU%c}h(MqI_2a*P2YuBKDq@=<^#dtt(SaG1eq@psx8@H^wEE#5BP%W+YN#n@yok!a"
        "stWPTK"
    ),
    "pandas 1.5.3, protocol 4": (
        "c-nPSL2uJA6i(8VZ7?w=HmC&Rz-"
        "b(aI3PA8&?btIMzkVvpDZVFn`n+3*^ahKOk#(1tK{1r|CJj&JDF&=VJUug{GQ+Uz4!TN_$%#rZkY9oij1l#9ZM"
        "DsB`q14mCsbuFK&GWug>5UwoFLMkp%N%-n|f-NkO@aN-"
        "F4xNd;#06CbBX2hASC&675Q@FG$FLcpw%T2w`P#2HC!jCI}=by-cC+sm5kf=Wpzcq@@C9SfypooegYb&g<`@NV"
        "aF1+jMyeLsN<_zqjK9|v(~3i+DpW_nUtCMFo}!0fU)?-"
        ">6B3<iU*e{i@d_B153{+p&SzjqrO?lpF`wU1i6(c0b~V3=7>>H^^k<keNYNSOnK7<`*94(yyi$RFnG7H0l<5oF"
        "H<#T>N!`JKR)nvC9ZYgfF*;osO>VEIc-5zeES!XdV^x7f#woiG(8RAKk;6TyzjzWs+J@@><-"
        "UOOFRs13MHBs_OCzAaSv$Bhc_S|T>Re*(tG_W1>V88BPIP*}kY>ZvW&d-"
        "LorgxGZ^ixffb3;pix9I*W3ZA=~9yq@)Y!G8+n3Utt9WOhQ8qgL<%Sd!O|fs{;B$NCVPOSMLspMtqZhMbPv@+s"
        "wfe5^=TSJ-;08R0ZxsPRixC(&Qq*)u8"
    ),
    "pandas 2.2.3, protocol 5": (
        "c-nPR-)q!B5KeMA+uB3x59;~SM>$`DQbZpLEmi~#J;nF3Y?94wXnwJ~p)Ita4|le(Z;t-"
        "0zUk~HM{|V^WWU|b%<MPc%=h8%uLH-LepJ&kp)!ao!GcuKf`Q)nKo$LH_rKuf54ePh_DL}lpm+N2S*e&PX)c3;"
        "mUPC11U-76SMkYFd&Y3R-"
        "9?Z*i{woR=!c{!>nuLW8Hr4caeh)ZMSUI+n;!Q}WHIPXl8UN`nl!a3Cx2c!efzuLqJPlhsKc!epLRGt06nx1AS"
        "UX(HsxtAeFxW9Kj9lp!hv@8U^<<C{)c9l&`}VDUN~5Qb`L?Jn_iEaELT~HH4J5*#U@SYpp$E|gq~UXCVz0lbFI"
        "Vm4mX@tb8nr2Kh|E><Hfh{V#S{uPJ9PXexJYsj<IXw)pjN9jL9IP5}SOVl<bszGIz+Izt+R$-"
        "nKiz5y0m4`%yGlH5G!Qej_4ST$NIZCRQeXORwQe_NP%}4u@_8Eqgcg=eD9RD@tG7QhFb2x;CWUGt?U2a5MZ8V0"
        "f?n(oEyDS(svX`5WZO-x`U>on+n}k^+Ab4(3alj@k^&EI86Q132xb)aB%pf+=ciKgRA-"
        "rEsP%LEj^3PG@%ejOKZDDoN7R*n6rN$!WxJps!>T1^)pZASTW"
    ),
}
NAMES = ("x", "y", "i", "d")


def written(by: str) -> bytes:
    return zlib.decompress(base64.b85decode(WRITTEN[by]))


def store(folder: Path, body: bytes) -> Path:
    path = folder / "00.pkl.gz"
    path.write_bytes(gzip.compress(body))
    return path


@pytest.mark.parametrize("by", WRITTEN)
def test_tables_of_every_pandas_are_read(tmp_path: Path, by: str) -> None:
    frame = read_pickled_frame(store(tmp_path, written(by)), NAMES)
    assert frame.index.tolist() == [2, 0, 1]
    values = {name: column.tolist() for name, column in frame.columns.items()}
    assert values == {"x": [1.5, 2.5, 3.5], "y": [4, 5, 6], "i": [7, 8, 9], "d": [0, 1, 0]}


@pytest.mark.parametrize("index", [None, np.array([5, 3, 1])])
def test_the_trees_tables_read_as_those_of_pandas(tmp_path: Path, index: Any) -> None:
    columns = {"x": np.array([1.5, 2.5, 3.5]), "class": np.array([1, 2, 3], dtype=np.uint8)}
    path = tmp_path / "plain.pkl"
    path.write_bytes(frame_bytes(columns, index))
    frame = read_pickled_frame(path, ("x", "class"))
    assert frame.index.tolist() == ([0, 1, 2] if index is None else [5, 3, 1])
    assert frame.columns["class"].tolist() == [1, 2, 3]
    assert frame.columns["class"].dtype == np.uint8


class Runs:
    """Runs a command when a pickle of it is loaded."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.made = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.made


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, np.load, pickle.loads])
def test_a_pickle_that_asks_for_anything_else_is_refused_and_not_run(
    tmp_path: Path, function: Callable[..., Any], protocol: int
) -> None:
    trap = tmp_path / "ran"
    body = pickle.dumps(Runs(function, f"touch {trap}"), protocol=protocol)
    with pytest.raises(InputError) as refusal:
        read_pickled_frame(store(tmp_path, body), NAMES)
    assert refusal.value.code == "E_PICKLE"
    assert function.__name__ in refusal.value.fault
    assert not trap.exists()


@pytest.mark.parametrize(
    "module_and_name",
    [
        (b"numpy", b"fromfile"),
        (b"numpy.core.multiarray", b"fromfile"),
        (b"numpy", b"dtype.__class__"),
        (b"builtins", b"type"),
        (b"pandas", b"read_pickle"),
        (b"pandas.core.frame", b"DataFrame.eval"),
        (b"pandas.core.indexes.base", b"slice"),
    ],
)
def test_near_names_are_refused(tmp_path: Path, module_and_name: tuple[bytes, bytes]) -> None:
    module, name = module_and_name
    body = b"\x80\x04c" + module + b"\n" + name + b"\n."
    with pytest.raises(InputError) as refusal:
        read_pickled_frame(store(tmp_path, body), NAMES)
    assert refusal.value.code == "E_PICKLE"


def test_writing_to_what_a_pickle_was_given_changes_nothing_for_the_next(tmp_path: Path) -> None:
    # The class itself as the object whose state is set: BUILD with slots {"__new__": 1}.
    body = b"\x80\x04cnumpy\ndtype\n(N}\x8c\x07__new__K\x01s\x86b."
    with pytest.raises(InputError):
        read_pickled_frame(store(tmp_path, body), NAMES)
    assert np.dtype("f8").itemsize == 8
    good = store(tmp_path, written("pandas 1.0.5, protocol 4"))
    assert len(read_pickled_frame(good, NAMES).index) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x04]" + b"\x80\x04.",
        b"",
        b"\x80\x04N.",
        b"\x80\x04I1\nQ.",
        b"\x80\x04\x82\x01.",
        b"\x80\x04r\xff\xff\xff\xff.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 62) + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
    ],
    ids=["stack", "nothing", "None", "persistent", "extension", "memo", "bytearray", "bytes"],
)
def test_pickles_of_no_table_are_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(InputError) as refusal:
        read_pickled_frame(store(tmp_path, body), NAMES)
    assert refusal.value.code == "E_CORRUPT"


@pytest.mark.parametrize("by", ["pandas 1.0.5, protocol 4", "pandas 2.2.3, protocol 5"])
def test_damage_is_refused_or_leaves_numbers(tmp_path: Path, by: str) -> None:
    whole = written(by)
    random = np.random.default_rng(0)
    for _ in range(400):
        body = bytearray(whole)
        body[random.integers(len(body))] = random.integers(256)
        try:
            frame = read_pickled_frame(store(tmp_path, bytes(body)), NAMES)
        except InputError as refusal:
            assert refusal.code in ("E_PICKLE", "E_CORRUPT", "E_DATASET")
        else:
            assert all(column.shape == (3,) for column in frame.columns.values())


def test_a_cut_gzip_and_no_gzip_are_refused(tmp_path: Path) -> None:
    path = store(tmp_path, written("pandas 1.0.5, protocol 4"))
    body = path.read_bytes()
    for content, code in ((body[:-20], "E_TRUNCATED"), (b"plain" + body, "E_CORRUPT")):
        path.write_bytes(content)
        with pytest.raises(InputError) as refusal:
            read_pickled_frame(path, NAMES)
        assert refusal.value.code == code


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = store(tmp_path, written("pandas 1.0.5, protocol 4"))
    with pytest.raises(InputError, match="no column 'z', only") as refusal:
        read_pickled_frame(path, ("z",))
    assert refusal.value.code == "E_DATASET"


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "U3", "c16", "O"])
def test_columns_that_hold_no_numbers_are_refused(tmp_path: Path, dtype: str) -> None:
    columns = {"x": np.zeros(3, dtype=dtype)}
    with pytest.raises(InputError) as refusal:
        read_pickled_frame(store(tmp_path, frame_bytes(columns)), ("x",))
    assert refusal.value.code in ("E_CORRUPT", "E_PICKLE")
