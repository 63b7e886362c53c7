"""The coordinate reference system of LAS files: units that are stated, looked up, or unknown."""

from __future__ import annotations

import sys
from pathlib import Path

import laspy
import numpy as np
import pytest
from sample_clouds import (
    UTM,
    WKT_DEGREES,
    WKT_FEET,
    WKT_METRES,
    Keys,
    read_with_facts,
    street,
    write_keys,
    write_las,
)

from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import inspect_cloud, open_cloud
from clip3d_cli.formats.las import pyproj_units
from clip3d_cli.formats.las.crs import Crs, crs_of
from clip3d_cli.formats.las.header import read_las_header

COUNT = 400
US_FOOT = 12 / 39.37
PROJECTED = (1024, 0, 1, 1)


def crs_in(path: Path) -> Crs | None:
    return crs_of(path, read_las_header(path))


@pytest.fixture
def no_pyproj(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing pyproj fails, as where it is not installed."""
    for name in ("pyproj", "pyproj.database", "pyproj.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)


CRS_TEXTS = [
    (WKT_METRES, Crs("UTM 32N", 1.0, 1.0)),
    (
        'COMPD_CS["x",PROJCS["p",GEOGCS["g",UNIT["degree",0.017]],UNIT["ft",0.3048]],'
        'VERT_CS["v",UNIT["metre",1]]]',
        Crs("x", 0.3048, 1.0),
    ),
    ('GEOGCS["WGS 84",UNIT["degree",0.017]]', Crs("WGS 84", 0.017, 0.017, True)),
    ('GEOCCS["ECEF",UNIT["metre",1]]', Crs("ECEF", 1.0, 1.0)),
    (
        'GEODCRS["ECEF 2",CS[Cartesian,3],AXIS["X",geocentricX,LENGTHUNIT["metre",1]]]',
        Crs("ECEF 2", 1.0, 1.0),
    ),
    (
        'PROJCRS["two",BASEGEOGCRS["g",UNIT["degree",0.017]],CS[Cartesian,2],'
        'AXIS["(E)",east],LENGTHUNIT["US survey foot",0.304800609601219]]',
        Crs("two", 0.304800609601219, 0.304800609601219),
    ),
    ('BOUNDCRS[SOURCECRS[GEOGCRS["inner",CS[ellipsoidal,2]]]]', Crs("BOUNDCRS", 1.0, 1.0, True)),
    ('LOCAL_CS["site",UNIT["metre",1]]', Crs("site", 1.0, 1.0)),
    ('PROJCS["unclosed', None),
    ("]]]]", None),
    ("[" * 5000, None),
    ("", None),
]


@pytest.mark.parametrize(("text", "crs"), CRS_TEXTS)
def test_units_of_well_known_text(tmp_path: Path, text: str, crs: Crs | None) -> None:
    source = write_las(tmp_path / "tile.las", 5, wkt=text)
    assert crs_in(source) == crs


GEO_KEYS = [
    ([(1024, 0, 1, 1), (3072, 0, 1, 32632), (3076, 0, 1, 9001)], Crs("EPSG:32632", 1.0, 1.0)),
    ([(1024, 0, 1, 1), (3072, 0, 1, 32767), (3076, 0, 1, 9003)], Crs("named ft", US_FOOT, US_FOOT)),
    ([(1024, 0, 1, 1), (3076, 0, 1, 9002), (4099, 0, 1, 9001)], Crs("named ft", 0.3048, 1.0)),
    ([(1024, 0, 1, 1), (3077, 34736, 1, 1)], Crs("named ft", 0.25, 0.25)),
    ([(1024, 0, 1, 1)], Crs("named ft", US_FOOT, US_FOOT)),
    ([(1024, 0, 1, 2), (2048, 0, 1, 4326)], Crs("EPSG:4326", US_FOOT, US_FOOT, True)),
    ([(3072, 0, 1, 32632)], Crs("EPSG:32632", 1.0, 1.0)),
]


@pytest.mark.parametrize(("keys", "crs"), GEO_KEYS)
def test_units_of_geotiff_keys(tmp_path: Path, keys: Keys, crs: Crs | None) -> None:
    path = write_keys(tmp_path / "tile.las", keys, citation="named ft", doubles=(1.0, 0.25))
    assert crs_in(path) == crs


# Keys without the unit of an axis; metres per unit of x, y and of z.
EPSG_CODES: dict[str, tuple[Keys, float, float]] = {
    "feet": ([PROJECTED, (1025, 0, 1, 1), (3072, 0, 1, 2260)], US_FOOT, US_FOOT),
    "feet-alone": ([(3072, 0, 1, 2226)], US_FOOT, US_FOOT),
    "international-feet": ([PROJECTED, (3072, 0, 1, 2222)], 0.3048, 0.3048),
    "feet-and-heights-in-feet": ([(3072, 0, 1, 2229), (4099, 0, 1, 9003)], US_FOOT, US_FOOT),
    "feet-and-heights-in-metres": ([(3072, 0, 1, 2229), (4096, 0, 1, 5703)], US_FOOT, 1.0),
    "heights-in-feet": ([PROJECTED, (3072, 0, 1, 32610), (4096, 0, 1, 6360)], 1.0, US_FOOT),
    "stated-and-heights-in-feet": (
        [PROJECTED, (3072, 0, 1, 32610), (3076, 0, 1, 9001), (4096, 0, 1, 6360)],
        1.0,
        US_FOOT,
    ),
    "compound": ([PROJECTED, (3072, 0, 1, 7415)], 1.0, 1.0),
    "rare-unit": ([PROJECTED, (3076, 0, 1, 9005)], 0.3047972654, 0.3047972654),
}


@pytest.mark.parametrize("name", EPSG_CODES)
def test_units_of_epsg_codes_are_looked_up(tmp_path: Path, name: str) -> None:
    keys, horizontal_m, vertical_m = EPSG_CODES[name]
    path = write_keys(tmp_path / "tile.las", keys)
    cloud, facts = read_with_facts(path)
    expected = (street(COUNT) + UTM) * [horizontal_m, horizontal_m, vertical_m]
    np.testing.assert_allclose(cloud.xyz, expected, rtol=1e-9, atol=1e-3)
    code = next((key[3] for key in keys if key[0] == 3072), None)
    assert facts.crs == (f"EPSG:{code}" if code else "GeoTIFF keys")
    converted = [warning for warning in facts.warnings if "converted to metres" in warning]
    assert len(converted) == (horizontal_m != 1) + (horizontal_m == 1 != vertical_m)
    assert "from units of 1 m" not in str(converted)
    assert facts.bounds is not None
    np.testing.assert_allclose(facts.bounds[1], cloud.xyz.max(axis=0))
    assert not any("bounds" in warning for warning in facts.warnings)


@pytest.mark.parametrize("name", EPSG_CODES)
def test_without_pyproj_unknown_units_are_metres_and_a_warning(
    tmp_path: Path, no_pyproj: None, name: str
) -> None:
    cloud, facts = read_with_facts(write_keys(tmp_path / "tile.las", EPSG_CODES[name][0]))
    np.testing.assert_allclose(cloud.xyz, street(COUNT) + UTM, atol=1e-3)
    (warning,) = facts.warnings
    assert "is not known" in warning
    assert warning.endswith("pip install pyproj to look it up") == (name != "rare-unit")


def test_a_code_that_nobody_knows_is_metres_and_a_warning(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "tile.las", [PROJECTED, (3072, 0, 1, 60001)])
    cloud, facts = read_with_facts(path)
    np.testing.assert_allclose(cloud.xyz, street(COUNT) + UTM, atol=1e-3)
    assert facts.warnings == (
        "the unit of EPSG:60001 is not known: coordinates are taken as metres",
    )


def test_heights_of_an_unknown_system_have_the_unit_of_x_and_y(tmp_path: Path) -> None:
    # 5103 is the code of the old GeoTIFF tables for NAVD88: it tells no unit.
    path = write_keys(tmp_path / "tile.las", [(3072, 0, 1, 2226), (4096, 0, 1, 5103)])
    crs = crs_in(path)
    assert crs is not None
    assert crs.vertical_m == crs.horizontal_m == pytest.approx(US_FOOT)
    assert "heights" in crs.warnings[0]


def test_geocentric_coordinates_are_metres(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "tile.las", [(1024, 0, 1, 3), (2048, 0, 1, 4326)])
    assert crs_in(path) == Crs("GeoTIFF keys", 1.0, 1.0)


@pytest.mark.parametrize("keys", [[(2048, 0, 1, 4326)], [PROJECTED, (3072, 0, 1, 4326)]])
def test_geographic_codes_are_degrees(tmp_path: Path, keys: Keys) -> None:
    path = write_keys(tmp_path / "tile.las", keys)
    assert "in degrees, but the coordinates cannot be" in str(inspect_cloud(path).warnings)
    write_keys(path, keys, xyz=[11.5, 48.1, 100] + street(COUNT) * 1e-5)
    with pytest.raises(InputError, match="E_GEOGRAPHIC_CRS"):
        open_cloud(path)


def test_a_text_without_units_is_looked_up(tmp_path: Path) -> None:
    text = (
        'COMPD_CS["x",PROJCS["p",GEOGCS["g",DATUM["d",SPHEROID["s",6378137,298]],'
        'PRIMEM["G",0],UNIT["degree",0.0174532925]],PROJECTION["Transverse_Mercator"],'
        'UNIT["ft",0.3048]],VERT_CS["v",VERT_DATUM["d",2005]]]'
    )
    assert crs_in(write_las(tmp_path / "tile.las", 5, wkt=text)) == Crs("x", 0.3048, 1.0)


def test_axes_of_a_text_have_their_own_units(tmp_path: Path) -> None:
    text = (
        'PROJCRS["three",BASEGEOGCRS["g"],CS[Cartesian,3],'
        'AXIS["(E)",east,LENGTHUNIT["foot",0.3048]],AXIS["(N)",north,LENGTHUNIT["foot",0.3048]],'
        'AXIS["h",up,LENGTHUNIT["metre",1]]]'
    )
    assert crs_in(write_las(tmp_path / "tile.las", 5, wkt=text)) == Crs("three", 0.3048, 1.0)


def test_a_known_unit_is_preferred_to_an_unknown_one(tmp_path: Path, no_pyproj: None) -> None:
    path = write_keys(tmp_path / "tile.las", [PROJECTED, (3072, 0, 1, 2260)])
    las = laspy.read(path)
    las.header.vlrs.append(laspy.VLR("LASF_Projection", 2112, "", WKT_FEET.encode()))
    las.write(path)
    assert crs_in(path) == Crs("x", 0.3048, 0.3048)


def test_a_text_too_long_for_a_system_is_not_read(tmp_path: Path) -> None:
    text = WKT_METRES[:-1] + "," + " " * 100_000 + 'REMARK["far"]]'
    assert crs_in(write_las(tmp_path / "tile.laz", 5, 6, wkt_evlr=text)) is None


STATED: dict[str, Keys | str] = {
    "metres": WKT_METRES,
    "feet": WKT_FEET,
    "degrees": WKT_DEGREES,
    "keys": [PROJECTED, (3072, 0, 1, 32632), (3076, 0, 1, 9001)],
    "keys-with-heights": [
        PROJECTED, (3072, 0, 1, 2260), (3076, 0, 1, 9003), (4096, 0, 1, 6360), (4099, 0, 1, 9003),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", STATED)
def test_stated_units_are_not_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def look_up(_: object) -> None:
        raise AssertionError("pyproj takes a fifth of a second to import")

    for function in ("units_of_epsg", "units_of_wkt", "metres_of_unit"):
        monkeypatch.setattr(pyproj_units, function, look_up)
    stated, path = STATED[name], tmp_path / "tile.las"
    crs = crs_in(
        write_las(path, 5, wkt=stated) if isinstance(stated, str) else write_keys(path, stated)
    )
    assert crs is not None
    assert crs.warnings == ()


@pytest.mark.parametrize("origin", [UTM, (-5000.0, 0.0, 0.0)])
def test_degrees_that_cannot_be_are_metres(
    tmp_path: Path, origin: tuple[float, float, float]
) -> None:
    source = write_las(tmp_path / "tile.las", COUNT, wkt='GEOGCS["WGS 84"]', offset=origin)
    cloud, facts = read_with_facts(source)
    assert any("cannot be" in warning for warning in facts.warnings)
    np.testing.assert_allclose(cloud.xyz, street(COUNT) + origin, atol=1e-3)
