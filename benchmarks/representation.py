"""What a frozen embedding tells of the heart and its owner, beside floors: see `cardiofm.evaluate.representation`.

Writes results/representation.json and .png. Features are kept in --cache, so an interrupted run goes on.
"""

from cardiofm.evaluate import representation

if __name__ == "__main__":
    representation.main(representation.parser().parse_args())
