"""Makes the two font files beside this script from the upstream OpenType files.

Usage: python3 make.py FOLDER_WITH_INTER_OTF   (needs the `fonttools` package)

Outlines become TrueType, the tabular digits become the default ones, and what a report never sets is left out.
"""

import sys
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

CHARACTERS = [chr(c) for c in range(0x20, 0x7F)] + [chr(c) for c in range(0xA0, 0x180)]
CHARACTERS += list("ΔΣαβγδθλμσφωτ≥≤→←↑↓≈≠×·–—…“”‘’„‚†‡•−√∞∑±²³¹°‰€ \u202f\u2009●○▲△■□◆")


def tabular(font: TTFont) -> dict[str, str]:
    table = font["GSUB"].table
    for record in table.FeatureList.FeatureRecord:
        if record.FeatureTag == "tnum":
            for index in record.Feature.LookupListIndex:
                for sub in table.LookupList.Lookup[index].SubTable:
                    return getattr(sub, "ExtSubTable", sub).mapping
    raise SystemExit("the font has no tabular digits")


def main() -> None:
    source = Path(sys.argv[1])
    for weight in ("Regular", "SemiBold"):
        font = TTFont(source / f"Inter-{weight}.otf", recalcTimestamp=False)
        cmap = font.getBestCmap()
        swap = tabular(font)
        names = {ord(c): swap[cmap[ord(c)]] if c.isdigit() and c.isascii() else cmap[ord(c)] for c in CHARACTERS if ord(c) in cmap}
        missing = [c for c in CHARACTERS if ord(c) not in cmap]
        if missing:
            print(f"{weight}: not in the font: {missing}", file=sys.stderr)
        options = Options(layout_features=[], hinting=False, name_IDs=[0, 1, 2, 4, 5, 6, 13, 14], notdef_outline=True)
        for table in font["cmap"].tables:
            table.cmap = {code: names[code] for code in names if code <= 0xFFFF or table.format == 12}
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=list(names))
        subsetter.subset(font)
        glyphs = font.getGlyphSet()
        outlines = {}
        for name in font.getGlyphOrder():
            pen = TTGlyphPen(glyphs)
            glyphs[name].draw(Cu2QuPen(pen, max_err=1.0, reverse_direction=True))
            outlines[name] = pen.glyph()
        builder = FontBuilder(font=font)
        builder.isTTF = True
        font.sfntVersion = "\x00\x01\x00\x00"
        for table in ("CFF ", "VORG", "GSUB", "GPOS", "GDEF", "DSIG"):
            if table in font:
                del font[table]
        builder.setupGlyf(outlines)
        font["maxp"].tableVersion = 0x00010000
        for field in ("maxZones", "maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs", "maxStackElements",
                      "maxSizeOfInstructions", "maxComponentElements"):
            setattr(font["maxp"], field, 1 if field == "maxZones" else 0)
        digits = {font.getBestCmap()[ord(d)] for d in "0123456789"}
        widest = max(font["hmtx"][name][0] for name in digits)
        for name in digits:
            font["hmtx"][name] = (widest, font["hmtx"][name][1])
        builder.setupPost(keepGlyphNames=False)
        font.save(Path(__file__).parent / f"Inter-{weight}.ttf")


main()
