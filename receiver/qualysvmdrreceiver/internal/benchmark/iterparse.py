# Copyright The qualysvmdr Authors
# SPDX-License-Identifier: Apache-2.0
"""Turns a page of host detections into JSON lines, and prints how many seconds of a processor that took: iterparse.py PAGE"""

import json
import sys
import time
import xml.etree.ElementTree as ElementTree


def value(element):
    if len(element) == 0:
        return element.text or ""
    if element.tag == "TAGS":
        return [value(child) for child in element]
    if element.tag == "QDS_FACTORS":
        return {child.get("name"): child.text for child in element}
    return {child.tag: value(child) for child in element}


def convert(page, out):
    for _, host in ElementTree.iterparse(page):
        if host.tag != "HOST":
            continue
        record = {"LogType": "vulnerabilityLogs"}
        for element in host:
            if element.tag != "DETECTION_LIST":
                record[element.tag] = value(element)
        for detection in host.iterfind("DETECTION_LIST/DETECTION"):
            record["DETECTION"] = value(detection)
            out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        host.clear()


began = time.process_time()
with open("/dev/null", "w", encoding="utf-8") as lines:
    convert(sys.argv[1], lines)
print(time.process_time() - began)
