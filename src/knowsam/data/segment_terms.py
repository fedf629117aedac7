"""Coded terms for classes, as DICOM segmentations need them: SNOMED CT where a name is known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

from knowsam.data.short_line import short_line

PRIVATE_SCHEME = "99KNOWSAM"
"""Marks terms that are a person's own words; DICOM wants private schemes to begin with 99."""


class Code(NamedTuple):
    """A code, its scheme (SCT: SNOMED CT) and its meaning in words."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class SegmentTerm:
    """The term of a segment: a type within a category, such as the kidney within anatomical structures.

    Parameters
    ----------
    modifiers : which one or which part of it, such as left.
    """

    type: Code
    category: Code
    modifiers: tuple[Code, ...] = ()

    @property
    def words(self) -> str:
        """The term as a person reads and writes it.

        >>> best_term("kidney_L").words
        'Kidney, left'
        """
        return ", ".join([self.type.meaning, *(modifier.meaning.lower() for modifier in self.modifiers)])

    @property
    def is_standard(self) -> bool:
        """Whether the code is one of a public scheme."""
        return self.type.scheme != PRIVATE_SCHEME


_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
_TISSUE = Code("85756007", "SCT", "Tissue")
_FINDING = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_SUBSTANCE = Code("91720002", "SCT", "Body Substance")
_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")

_TERMS: dict[Code, str] = {
    _ANATOMY: """
        23451007 Adrenal gland: adrenal, suprarenal gland
        89187006 Airway structure: airway, airways
        4958002 Amygdala
        15825003 Aorta
        7832008 Abdominal aorta
        57034009 Aortic arch
        54247002 Ascending aorta
        281130003 Descending aorta
        51114001 Artery: arteries
        28273000 Bile duct
        89837001 Bladder: urinary bladder
        59820001 Blood Vessel: vessel, vessels, vasculature
        272673000 Bone: bones
        12738006 Brain
        119238007 Brain Stem: brainstem
        35764002 Brain ventricle: brain ventricles, cerebral ventricle
        76752008 Breast
        955009 Bronchus: bronchi
        69105007 Carotid Artery: carotid
        11000004 Caudate Nucleus: caudate
        113305005 Cerebellum
        40146001 Cerebral cortex: cortex
        51299004 Clavicle
        71854001 Colon
        41801008 Coronary artery: coronaries
        88442005 Corpus callosum
        38848004 Duodenum
        32849002 Esophagus: oesophagus
        79652003 Eyeball: eye, globe
        71341001 Femur
        28231008 Gallbladder: gall bladder
        14738005 Globus Pallidus: pallidum
        389081007 Gray Matter: grey matter, GM
        80891009 Heart
        33626005 Left auricular appendage: left atrial appendage, LAA
        82471001 Left atrium: LA, left atrial cavity
        73829009 Right atrium: RA
        87878005 Left ventricle: LV
        53085002 Right ventricle: RV
        122448007 Cardiac muscle: myocardium, heart muscle
        8993003 Hepatic vein
        5366008 Hippocampus: hippocampi
        85050009 Humerus
        64131007 Inferior vena cava: IVC
        64033007 Kidney: kidneys
        66720007 Lateral Ventricle
        10200004 Liver: hepar
        39607008 Lung: lungs
        45653009 Upper lobe of lung: lung upper lobe
        72481006 Middle lobe of right lung: lung middle lobe
        90572001 Lower lobe of lung: lung lower lobe
        59441001 Lymph Node: lymph nodes, lymphnode, node, nodes, LN
        91609006 Mandible
        18234004 Optic nerve
        15497006 Ovary
        15776009 Pancreas
        45289007 Parotid gland: parotid
        64234005 Patella
        816092008 Pelvis
        76848001 Pericardium
        56329008 Pituitary: hypophysis
        32764006 Portal vein
        41216001 Prostate
        279706003 Peripheral zone of the prostate: peripheral zone, PZ
        399384005 Transition zone of the prostate: transition zone, TZ
        81040000 Pulmonary artery: PA
        122972007 Pulmonary vein: pulmonary veins, PV
        89278009 Putamen
        34402009 Rectum
        113197003 Rib: ribs
        54735007 Sacrum
        64739004 Seminal Vesicle
        89546000 Skull: cranium
        30315005 Small intestine: small bowel
        14742008 Large intestine: large bowel
        2748008 Spinal cord
        78961009 Spleen
        69695003 Stomach
        54019009 Submandibular gland
        48345005 Superior vena cava: SVC
        42695009 Thalamus
        9875009 Thymus
        69748006 Thyroid: thyroid gland
        12611008 Tibia
        44567001 Trachea
        35039007 Uterus
        29092000 Vein: veins
        51282000 Vertebra: vertebrae, vertebral body
        389080008 White Matter: WM
    """,
    _TISSUE: """
        309312004 Cartilage
        55603005 Fat: adipose tissue
        91727004 Muscle: muscles
        12402003 Scar tissue: scar
        39937001 Skin
        71966008 Subcutaneous tissue
        87784001 Soft tissue
        85756007 Tissue
    """,
    _FINDING: """
        44132006 Abscess
        85659009 Aneurysm
        367643001 Cyst: cysts
        79654002 Edema: oedema
        35566002 Hematoma: haematoma
        50960005 Hemorrhage: haemorrhage, bleeding
        409774005 Inflammation
        52988006 Lesion: lesions
        4147007 Mass
        6574001 Necrosis: necrotic core
        108369006 Neoplasm: tumor, tumour, cancer
        372087000 Neoplasm, Primary: primary tumor, primary tumour
        14799000 Neoplasm, Secondary: metastasis, metastases
        27925004 Nodule: nodules
        396339007 Thrombus: clot
    """,
    _SUBSTANCE: """
        87612001 Blood
        65216001 Cerebrospinal Fluid: CSF, liquor
        74947009 Gas: air
    """,
    _CONCEPT: """
        228791009 Gross tumor volume: GTV, gross tumour volume
        228792002 Clinical target volume: CTV
        228793007 Planning target volume: PTV
    """,
}
"""By category, a line each: SNOMED CT code, meaning, and after a colon other words for it."""

_MODIFIERS = {
    Code("7771000", "SCT", "Left"): ("left", "l", "lt"),
    Code("24028007", "SCT", "Right"): ("right", "r", "rt"),
    Code("51440002", "SCT", "Bilateral"): ("bilateral",),
    Code("255549009", "SCT", "Anterior"): ("anterior", "ant"),
    Code("255551008", "SCT", "Posterior"): ("posterior", "post"),
}
_MODIFIER_OF = {word: modifier for modifier, words in _MODIFIERS.items() for word in words}


def known_terms() -> tuple[SegmentTerm, ...]:
    """Return all standard terms, in the order of their meanings."""
    return tuple(sorted(_spellings(), key=lambda term: term.words.lower()))


def best_term(words: str) -> SegmentTerm | None:
    """Return the standard term for a class name, or None if the name is not known.

    Case, plural and order do not matter, nor do left, right, anterior, posterior and bilateral, which modify a term.

    >>> best_term("LA").words, best_term("tumour").words, best_term("class 1")
    ('Left atrium', 'Neoplasm', None)
    """
    tokens = _tokens(words)
    known = _by_tokens()
    if tokens in known:
        return known[tokens]
    modifiers = {_MODIFIER_OF[token]: None for token in _listed(words) if token in _MODIFIER_OF}
    term = known.get(tokens.difference(_MODIFIER_OF))
    return replace(term, modifiers=tuple(modifiers)) if term is not None and modifiers else None


def found_terms(words: str) -> tuple[SegmentTerm, ...]:
    """Return the standard terms whose words begin like each of the words, the best first."""
    tokens, best = _tokens(words).difference(_MODIFIER_OF), best_term(words)
    found = [
        term
        for term, spellings in _spellings().items()
        if all(any(known.startswith(token) for known in _tokens(" ".join(spellings))) for token in tokens)
    ]
    others = sorted((term for term in found if best is None or term.type != best.type), key=lambda term: term.words)
    return tuple(others) if best is None else (best, *others)


def term_for(words: str) -> SegmentTerm:
    """Return the standard term for a class name, else a private one that has the words themselves as meaning.

    The same words always get the same private code, and the category that 3D Slicer gives unknown terms.
    """
    meaning = long_string(words)
    value = blake2b(meaning.lower().encode(), digest_size=6).hexdigest().upper()
    return best_term(words) or SegmentTerm(Code(value, PRIVATE_SCHEME, meaning), _TISSUE)


def long_string(words: str) -> str:
    r"""Return words as DICOM's type LO allows them: 64 characters at most, no backslashes, not empty.

    >>> long_string("left\\right  kidney ")
    'left right kidney'
    """
    return short_line(words.replace("\\", " ")) or "unnamed"


@cache
def _spellings() -> dict[SegmentTerm, tuple[str, ...]]:
    return {term: spellings for category, text in _TERMS.items() for term, spellings in _parsed(category, text)}


def _parsed(category: Code, text: str) -> Iterator[tuple[SegmentTerm, tuple[str, ...]]]:
    for line in text.strip().splitlines():
        value, rest = line.split(maxsplit=1)
        meaning, _, others = rest.partition(":")
        yield SegmentTerm(Code(value, "SCT", meaning), category), (meaning, *filter(None, others.split(",")))


@cache
def _by_tokens() -> dict[frozenset[str], SegmentTerm]:
    return {_tokens(spelling): term for term, spellings in _spellings().items() for spelling in spellings}


def _listed(words: str) -> list[str]:
    """Return the words of a name; a change of case divides them, as in KidneyLeft."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[^\W\d_]?[^\W\d_A-Z]+|\d+", words)]


def _tokens(words: str) -> frozenset[str]:
    return frozenset(_listed(words)) - {"of", "the"}
