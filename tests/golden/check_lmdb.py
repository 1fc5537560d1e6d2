#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_lmdb.py RAW_DIR TRAIN.lmdb VAL.lmdb

Reads two sets packed with `--encode keep` as a stranger would (Python's lmdb and protobuf with Caffe's Datum) and compares
every record with the archives: path, bytes, label; val labels through scipy's reading of meta.mat. Needs the Python packages
lmdb, protobuf, scipy. Not part of `make check`: the product does not need Python.
"""
import hashlib, io, json, sys, tarfile

import lmdb
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from scipy.io import loadmat


def datum_class():
    f = descriptor_pb2.FileDescriptorProto(name="caffe_datum.proto", package="caffe", syntax="proto2")
    m = f.message_type.add(name="Datum")
    F = descriptor_pb2.FieldDescriptorProto
    for name, number, kind in (("channels", 1, F.TYPE_INT32), ("height", 2, F.TYPE_INT32), ("width", 3, F.TYPE_INT32),
                               ("data", 4, F.TYPE_BYTES), ("label", 5, F.TYPE_INT32), ("encoded", 7, F.TYPE_BOOL)):
        m.field.add(name=name, number=number, type=kind, label=F.LABEL_OPTIONAL)
    m.field.add(name="float_data", number=6, type=F.TYPE_FLOAT, label=F.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(f)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.Datum"))


def devkit(raw):
    with tarfile.open(f"{raw}/ILSVRC2012_devkit_t12.tar.gz") as t:
        root = "ILSVRC2012_devkit_t12/data/"
        mat = loadmat(io.BytesIO(t.extractfile(root + "meta.mat").read()), squeeze_me=True)["synsets"]
        truth = [int(x) for x in t.extractfile(root + "ILSVRC2012_validation_ground_truth.txt").read().split()]
    wnid = {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in mat if int(s["num_children"]) == 0}
    label = {w: i for i, w in enumerate(sorted(wnid.values()))}
    return label, [label[wnid[i]] for i in truth]


def train_images(raw, label):
    with tarfile.open(f"{raw}/ILSVRC2012_img_train.tar") as outer:
        for m in outer:
            with tarfile.open(fileobj=io.BytesIO(outer.extractfile(m).read())) as inner:
                for i in inner:
                    wnid = m.name[:-4]
                    yield f"{wnid}/{i.name}", (inner.extractfile(i).read(), label[wnid])


def val_images(raw, labels):
    with tarfile.open(f"{raw}/ILSVRC2012_img_val.tar") as t:
        rank = {n: i for i, n in enumerate(sorted(t.getnames()))}
        for m in t:
            yield m.name, (t.extractfile(m).read(), labels[rank[m.name]])


def check(path, want):
    Datum = datum_class()
    chain, n = "0" * 64, 0
    with lmdb.open(path, readonly=True, lock=False) as env, env.begin() as txn:
        for key, value in txn.cursor():
            index, name = key.decode().split("_", 1)
            assert len(index) == 8 and int(index) == n, key
            d = Datum.FromString(value)
            data, label = want.pop(name)
            assert d.data == data, f"{name}: other bytes"
            assert d.label == label, f"{name}: label {d.label}, should be {label}"
            assert d.encoded and not d.HasField("channels") and not d.HasField("height") and not d.HasField("width"), name
            assert d.SerializeToString() == value, f"{name}: protobuf would write other bytes"
            record = hashlib.sha256(key + b"\0" + value).hexdigest()
            chain = hashlib.sha256((chain + record).encode()).hexdigest()
            n += 1
    assert not want, f"{len(want)} images are missing, {next(iter(want))} among them"
    seal = json.load(open(f"{path}/seal.json"))
    assert seal["records"] == n and seal["content_sha256"] == chain, "the seal does not fit"
    print(f"{path}: {n} records: keys, bytes, labels, seal are right")


if __name__ == "__main__":
    raw, train, val = sys.argv[1:]
    label, val_labels = devkit(raw)
    check(train, dict(train_images(raw, label)))
    check(val, dict(val_images(raw, val_labels)))
