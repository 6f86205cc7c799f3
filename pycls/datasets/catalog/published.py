"""Entries of the study's nine data sets.

Classes, image sizes, epochs and error metrics are those of Tables 1 and 2 of the paper
(Tuggener, Schmidhuber, Stadelmann 2022). Numbers of images are those the sets are published
with; a test side of 10 % of each class is the study's convention where a set has none.
"""

from typing import Any

from pycls.datasets.catalog.entry import CatalogEntry, pipeline, split_pipeline


def _cifar(num_classes: int, **own: Any) -> CatalogEntry:
    return CatalogEntry(
        key=f"cifar{num_classes}",
        title=f"Cifar{num_classes}",
        num_classes=num_classes,
        source=f"CIFAR-{num_classes}, python version",
        licence="none stated",
        reader=f"cifar:read_cifar{num_classes}",
        options=pipeline(32),
        images=(50_000, 10_000),
        epochs=30,
        citation="A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. "
        "Technical report, University of Toronto, 2009",
        download=f"'cifar-{num_classes}-python.tar.gz' of the CIFAR page",
        **own,
    )


PUBLISHED: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        key="concrete",
        title="Concrete",
        description="pieces of photographs of concrete surfaces, with cracks and without",
        num_classes=2,
        source="Concrete Crack Images for Classification, Mendeley Data, "
        "doi 10.17632/5y9wdsg2zt.2",
        licence="CC BY 4.0",
        reader="concrete:read_concrete",
        options=split_pipeline(227),
        images=(36_000, 4_000),
        class_counts={"Negative": 20_000, "Positive": 20_000},
        epochs=20,
        citation="C. F. Özgenel, A. Gönenç Sorguç: Performance Comparison of Pretrained "
        "Convolutional Neural Networks on Crack Detection in Buildings. ISARC 2018",
        download="'Concrete Crack Images for Classification.rar' (or '5y9wdsg2zt-2.zip', which "
        "holds it) of Mendeley Data, doi 10.17632/5y9wdsg2zt.2; unpack the .rar and give the "
        "folder",
    ),
    CatalogEntry(
        key="mlc2008",
        title="MLC2008",
        description="pieces of photographs of coral reefs at Moorea, by what covers the ground",
        num_classes=9,
        source="Moorea Labeled Corals 2008: pieces, Mendeley Data, doi 10.17632/86y667257h.2; "
        "photographs, MCR LTER, EDI knb-lter-mcr.5006.3",
        licence="CC BY 4.0",
        reader="mlc2008:read_mlc2008",
        options=split_pipeline(312, patch=312),
        # Published as "43 thousand"; the labelled photographs give more pieces.
        images=(38_700, 4_300),
        exact=False,
        epochs=20,
        citation="A. Shihavuddin, N. Gracias, R. Garcia, A. Gleason, B. Gintert: Image-Based "
        "Coral Reef Classification and Thematic Mapping. Remote Sensing 5, 2013. "
        "O. Beijbom, P. Edmunds, D. Kline, B. Mitchell, D. Kriegman: Automated Annotation of "
        "Coral Reef Survey Images. CVPR 2012",
        download="the nine class folders of 312 x 312 pieces (Mendeley Data, "
        "doi 10.17632/86y667257h.2), or the labelled photographs "
        "'MCR_LTER_ComputerVision_LabeledCorals_2008_20120521.zip' (EDI knb-lter-mcr.5006.3)",
    ),
    CatalogEntry(
        key="imagenet",
        title="ImageNet",
        description="photographs of things, animals and scenes (ILSVRC 2012)",
        num_classes=1000,
        error_metric="top5",
        source="ImageNet Large Scale Visual Recognition Challenge 2012",
        licence="non-commercial research and education; needs an account",
        reader="imagenet:read_imagenet",
        options=pipeline(256, num_classes=1000),
        images=(1_281_167, 50_000),
        epochs=10,
        citation="O. Russakovsky et al.: ImageNet Large Scale Visual Recognition Challenge. "
        "International Journal of Computer Vision 115, 2015",
        download="'ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar' and "
        "'ILSVRC2012_devkit_t12.tar.gz' in one folder (they need not be unpacked), or the "
        "folder with 'train/<wnid>/' and 'val/<wnid>/', or the copy of Kaggle or Hugging Face",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    CatalogEntry(
        key="ham10000",
        title="HAM10000",
        description="dermatoscopic photographs of pigmented skin lesions",
        num_classes=7,
        source="HAM10000, Harvard Dataverse, doi 10.7910/DVN/DBW86T",
        licence="CC BY-NC 4.0",
        reader="ham10000:read_ham10000",
        options=split_pipeline(296),
        images=(9_014, 1_001),
        # Lesions of several images move whole.
        exact=False,
        class_counts={
            "akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142,
        },
        epochs=30,
        citation="P. Tschandl, C. Rosendahl, H. Kittler: The HAM10000 dataset, a large "
        "collection of multi-source dermatoscopic images of common pigmented skin lesions. "
        "Scientific Data 5, 2018",
        download="'HAM10000_images_part_1.zip', 'HAM10000_images_part_2.zip' and "
        "'HAM10000_metadata' (.csv, .tab or without an ending) of Harvard Dataverse, "
        "doi 10.7910/DVN/DBW86T, in one folder",
        mean=(0.763, 0.546, 0.570),
        std=(0.141, 0.153, 0.170),
    ),
    CatalogEntry(
        key="powerline",
        title="Powerline",
        description="aerial pictures with a power line and without, infrared and visible light",
        num_classes=2,
        source="Powerline Image Dataset (Infrared-IR and Visible Light-VL), Mendeley Data, "
        "doi 10.17632/n6wrv4ry6v.8",
        licence="MIT",
        reader="powerline:read_powerline",
        options=split_pipeline(128),
        images=(7_200, 800),
        epochs=20,
        citation="Ö. E. Yetgin, Ö. N. Gerek: Powerline Image Dataset (Infrared-IR and Visible "
        "Light-VL). Mendeley Data, doi 10.17632/n6wrv4ry6v.8",
        download="'Power_Line_Database (Infrared-IR and Visible Light-VL).zip' of Mendeley Data, "
        "doi 10.17632/n6wrv4ry6v.8",
    ),
    CatalogEntry(
        key="insects",
        title="Insects",
        description="British ground beetles of a museum's collection, by species",
        num_classes=291,
        error_metric="top5",
        source="British carabids of the Natural History Museum London, Zenodo, "
        "doi 10.5281/zenodo.3549369",
        licence="not known",
        reader="insects:read_insects",
        options=split_pipeline(296),
        images=(57_028, 6_336),
        # 10 % of each class, rounded, of classes whose sizes are not published.
        exact=False,
        epochs=20,
        citation="O. L. P. Hansen et al.: Species-level image classification with convolutional "
        "neural network enables insect identification from habitus images. Ecology and "
        "Evolution 10, 2020",
        download="the folder 'database/<species key>/' of Zenodo record "
        "doi 10.5281/zenodo.3549369, as an archive or unpacked",
    ),
    CatalogEntry(
        key="natural",
        title="Natural",
        description="photographs of buildings, forest, glacier, mountain, sea, street",
        num_classes=6,
        source="Intel Image Classification, Kaggle data set puneet6060/intel-image-classification",
        licence="as stated on the data set's page",
        reader="natural:read_natural",
        options=pipeline(150),
        images=(14_034, 3_000),
        class_counts={
            "buildings": 2628, "forest": 2745, "glacier": 2957, "mountain": 3037, "sea": 2784,
            "street": 2883,
        },
        epochs=20,
        citation="P. Bansal: Intel Image Classification. Kaggle, 2018",
        download="'intel-image-classification.zip' (Kaggle data set "
        "puneet6060/intel-image-classification)",
        mean=(0.430, 0.458, 0.454),
        std=(0.236, 0.235, 0.243),
    ),
    _cifar(
        10,
        description="small photographs of animals and vehicles",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
    _cifar(
        100,
        description="small photographs of 100 kinds of things, animals, plants and people",
        error_metric="top5",
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    ),
)  # fmt: skip
