"""Entries of sets that people extend the study by, read as the layouts of one's own are.

Numbers are the published ones. As in the study, top5 is the metric from 100 classes on.
"""

from collections.abc import Mapping
from typing import Any

from pycls.datasets.catalog.entry import CatalogEntry, pipeline, split_pipeline

_IMAGENET_TERMS = "images under ImageNet's terms, non-commercial research and education"
_ORGANS = (
    "bladder|femur-left|femur-right|heart|kidney-left|kidney-right|liver|lung-left|lung-right|"
    "pancreas|spleen"
)

# Sets that are asked for and cannot be used, with the reason.
REFUSED: Mapping[str, str] = {
    "chestmnist": "its images carry several labels each (14 findings), and an image has one class "
    "here; a table of the images with a single finding can be prepared as 'csv'",
}


def _medmnist(
    name: str, description: str, train: int, test: int, classes: str, **own: Any
) -> CatalogEntry:
    """Return the entry of a 2D set of MedMNIST v2; classes in the order of their numbers."""
    key = name.lower()
    common = {
        "licence": "CC BY 4.0",
        "options": pipeline(28),
        **own,
    }
    return CatalogEntry(
        key=key,
        title=name,
        description=description,
        num_classes=classes.count("|") + 1,
        class_names=tuple(classes.split("|")),
        source=f"MedMNIST v2: {name}, doi 10.5281/zenodo.6496656",
        page="https://medmnist.com",
        reader="containers.arrays:read_arrays",
        images=(train, test),
        compared=True,
        citation="J. Yang, R. Shi, D. Wei, Z. Liu, L. Zhao, B. Ke, H. Pfister, B. Ni: MedMNIST v2 "
        "- A large-scale lightweight benchmark for 2D and 3D biomedical image classification. "
        "Scientific Data 10, 2023",
        download=f"'{key}.npz' (or '{key}_64.npz', '{key}_128.npz', '{key}_224.npz' with --size)",
        **common,
    )


def _of_imagenet(key: str, title: str, description: str, train: int, test: int) -> CatalogEntry:
    return CatalogEntry(
        key=key,
        title=title,
        description=description,
        num_classes=10,
        source=f"{title}, second version",
        licence=f"Apache 2.0; {_IMAGENET_TERMS}",
        page="https://github.com/fastai/imagenette",
        reader="folder:read_folder",
        options=pipeline(160, test_folder="val"),
        images=(train, test),
        compared=True,
        part_of="imagenet",
        citation=f"J. Howard: {title}. fast.ai, 2019",
        download=f"'{key}2.tgz', or '{key}2-320.tgz' or '{key}2-160.tgz' in smaller sizes",
    )


FURTHER: tuple[CatalogEntry, ...] = (
    _medmnist(
        "PathMNIST",
        "pieces of stained sections of colon",
        89_996,
        7_180,
        "adipose|background|debris|lymphocytes|mucus|smooth muscle|normal colon mucosa|"
        "cancer-associated stroma|colorectal adenocarcinoma epithelium",
    ),
    _medmnist(
        "DermaMNIST",
        "pigmented skin lesions",
        7_007,
        2_005,
        "actinic keratoses and intraepithelial carcinoma|basal cell carcinoma|"
        "benign keratosis-like lesions|dermatofibroma|melanoma|melanocytic nevi|vascular lesions",
        licence="CC BY-NC 4.0",
        part_of="ham10000",
    ),
    _medmnist(
        "OCTMNIST",
        "sections of retinas by optical coherence tomography, grey",
        97_477,
        1_000,
        "choroidal neovascularization|diabetic macular edema|drusen|normal",
    ),
    _medmnist(
        "PneumoniaMNIST", "X-rays of children's chests, grey", 4_708, 624, "normal|pneumonia"
    ),
    _medmnist(
        "RetinaMNIST", "eye grounds by grade of diabetic retinopathy", 1_080, 400, "0|1|2|3|4"
    ),
    _medmnist(
        "BreastMNIST", "breasts by ultrasound, grey", 546, 156, "malignant|normal, benign"
    ),
    _medmnist(
        "BloodMNIST",
        "single blood cells",
        11_959,
        3_421,
        "basophil|eosinophil|erythroblast|"
        "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)|lymphocyte|monocyte|"
        "neutrophil|platelet",
    ),
    _medmnist(
        "TissueMNIST",
        "cells of kidney cortex under the microscope, grey",
        165_466,
        47_280,
        "Collecting Duct, Connecting Tubule|Distal Convoluted Tubule|"
        "Glomerular endothelial cells|Interstitial endothelial cells|Leukocytes|Podocytes|"
        "Proximal Tubule Segments|Thick Ascending Limb",
    ),
    # Mirrored, a left kidney looks like a right one.
    _medmnist("OrganAMNIST", "organs in axial CT, grey", 34_581, 17_778, _ORGANS, mirror=False),
    _medmnist("OrganCMNIST", "organs in coronal CT, grey", 13_000, 8_268, _ORGANS, mirror=False),
    _medmnist("OrganSMNIST", "organs in sagittal CT, grey", 13_940, 8_829, _ORGANS, mirror=False),
    CatalogEntry(
        key="eurosat",
        title="EuroSAT",
        description="land by use and cover, seen by the satellite Sentinel-2",
        num_classes=10,
        source="EuroSAT, RGB version, doi 10.5281/zenodo.7711810",
        licence="MIT",
        page="https://github.com/phelber/EuroSAT",
        reader="folder:read_folder",
        options=split_pipeline(64),
        images=(24_300, 2_700),
        class_counts={
            "AnnualCrop": 3000, "Forest": 3000, "HerbaceousVegetation": 3000, "Highway": 2500,
            "Industrial": 2500, "Pasture": 2000, "PermanentCrop": 2500, "Residential": 3000,
            "River": 2500, "SeaLake": 3000,
        },
        compared=True,
        citation="P. Helber, B. Bischke, A. Dengel, D. Borth: EuroSAT: A Novel Dataset and Deep "
        "Learning Benchmark for Land Use and Land Cover Classification. IEEE Journal of Selected "
        "Topics in Applied Earth Observations and Remote Sensing 12, 2019",
        download="'EuroSAT_RGB.zip' (formerly 'EuroSAT.zip')",
    ),
    CatalogEntry(
        key="food101",
        title="Food-101",
        description="photographs of dishes",
        num_classes=101,
        error_metric="top5",
        source="Food-101, ETH Zurich",
        licence="none stated; images of Foodspotting, for scientific fair use",
        page="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        reader="folder:read_folder",
        options=pipeline(256),
        images=(75_750, 25_250),
        compared=True,
        citation="L. Bossard, M. Guillaumin, L. Van Gool: Food-101 - Mining Discriminative "
        "Components with Random Forests. ECCV 2014",
        download="'food-101.tar.gz' with 'images/' and 'meta/'",
    ),
    CatalogEntry(
        key="dtd",
        title="DTD",
        description="textures by the words that describe them",
        num_classes=47,
        source="Describable Textures Dataset, release 1.0.1",
        licence="for research",
        page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        reader="folder:read_folder",
        options=pipeline(256),
        # The first of its ten splits, without the images of val1.
        images=(1_880, 1_880),
        compared=True,
        citation="M. Cimpoi, S. Maji, I. Kokkinos, S. Mohamed, A. Vedaldi: Describing Textures in "
        "the Wild. CVPR 2014",
        download="'dtd-r1.0.1.tar.gz' with 'images/' and 'labels/'",
    ),
    CatalogEntry(
        key="pets",
        title="Oxford Pets",
        description="photographs of cats and dogs by breed",
        num_classes=37,
        source="The Oxford-IIIT Pet Dataset",
        licence="CC BY-SA 4.0",
        page="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        reader="oxford:read_pets",
        options=pipeline(256),
        images=(3_680, 3_669),
        compared=True,
        citation="O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar: Cats and Dogs. CVPR 2012",
        download="'images.tar.gz' and 'annotations.tar.gz' in one folder",
    ),
    CatalogEntry(
        key="flowers102",
        title="Flowers102",
        description="photographs of flowers by species",
        num_classes=102,
        error_metric="top5",
        source="Oxford 102 Flowers",
        licence="none stated",
        page="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        reader="oxford:read_flowers",
        options=pipeline(256),
        images=(1_020, 6_149),
        compared=True,
        citation="M.-E. Nilsback, A. Zisserman: Automated Flower Classification over a Large "
        "Number of Classes. ICVGIP 2008",
        download="'102flowers.tgz', 'imagelabels.mat' and 'setid.mat' in one folder",
    ),
    CatalogEntry(
        key="tiny_imagenet",
        title="Tiny-ImageNet",
        description="things and animals of ImageNet, 64 x 64 pixels",
        num_classes=200,
        error_metric="top5",
        source="Tiny ImageNet, Stanford CS231N",
        licence=_IMAGENET_TERMS,
        page="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        reader="folder:read_folder",
        # The images of its folder "test" have no labels.
        options=pipeline(64, test_folder="val"),
        images=(100_000, 10_000),
        compared=True,
        part_of="imagenet",
        citation="Y. Le, X. Yang: Tiny ImageNet Visual Recognition Challenge. Stanford, 2015",
        download="'tiny-imagenet-200.zip'",
    ),
    _of_imagenet("imagenette", "Imagenette", "ten easy classes of ImageNet", 9_469, 3_925),
    _of_imagenet("imagewoof", "Imagewoof", "ten breeds of dogs of ImageNet", 9_025, 3_929),
    CatalogEntry(
        key="isic2018",
        title="ISIC 2018",
        description="pigmented skin lesions: HAM10000 with the challenge's own test images",
        num_classes=7,
        source="ISIC 2018 challenge, task 3; HAM10000, doi 10.7910/DVN/DBW86T",
        licence="CC BY-NC 4.0",
        page="https://challenge.isic-archive.com/data/#2018",
        reader="ham10000:read_isic2018",
        options=pipeline(296),
        # Sources differ by one test image.
        images=(10_015, 1_512),
        exact=False,
        part_of="ham10000",
        citation="N. Codella et al.: Skin Lesion Analysis Toward Melanoma Detection 2018: A "
        "Challenge Hosted by the International Skin Imaging Collaboration (ISIC). arXiv "
        "1902.03368, 2019. P. Tschandl, C. Rosendahl, H. Kittler: The HAM10000 dataset. "
        "Scientific Data 5, 2018",
        download="what 'ham10000' needs, and 'ISIC2018_Task3_Test_Images.zip' (or "
        "'ISIC2018_Task3_Test_Input.zip') and 'ISIC2018_Task3_Test_GroundTruth.csv', in one folder",
    ),
)  # fmt: skip
