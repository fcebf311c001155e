"""The words of casebook's reports: clues by kind and cause, and words that say nothing about any cause. Data only.

Each is one word, unlike all others, that a reader who knows plants can place. tests/casebook/test_world.py checks what a
program can check of that.
"""

from __future__ import annotations

# fmt: off
SIGNS = {
    "overwatering": (
        "mushiness toadstools algae moss liverwort squelching rot slime mould sogginess oozing swampiness "
        "stench blisters bloating sludge dampness mildew decay seepage "
    ).split(),
    "darkness": (
        "legginess pallor spindliness blanching etiolation gauntness craning stretching elongation groping "
        "fading paleness lankiness sparseness leaning colourlessness straggling lopsidedness attenuation thinness "
    ).split(),
    "pests": (
        "mealybugs honeydew cobwebs aphids thrips frass greenfly whitefly caterpillars snails weevils earwigs "
        "maggots mites larvae slugs beetles leafhoppers cutworms nibbling "
    ).split(),
    "chill": (
        "frostbite icicles hibernation glassiness shivering coldness freezing crystals stiffness numbness "
        "thawing brittleness frosting bluishness chilblains rigidity cracking hoariness hypothermia gooseflesh "
    ).split(),
}

CARE = {
    "overwatering": (
        "flooding drenching sprinklers hosing deluges puddles soaking leaks downpours overflow irrigation "
        "dripping bucketfuls splashing bathing submersion drizzling gallons dousing sousing "
    ).split(),
    "darkness": (
        "cellar shutters wardrobe cupboard basement curtains blinds windowless tunnel crypt cave bunker "
        "shadow dungeon closet unlit gloom boxroom vault dusk "
    ).split(),
    "pests": (
        "infestation anthill flypaper hive burrows swarms crawlers parasites vermin hatching invaders "
        "colonies wasps gnats breeding insecticide mousetraps moths termites locusts "
    ).split(),
    "chill": (
        "draught blizzards glacier January refrigerator toboggan snow winter igloo iceberg Siberia Arctic sleet "
        "hail mittens skating Alps icehouse freezer northerlies "
    ).split(),
}

FILLERS = (
    "mustard ketchup chocolate lavender caramel cinnamon apricots charcoal peaches salmon plums tobacco tuba "
    "oboe cello banjo accordion trombone clarinet mandolin ukulele bassoon saxophone viola cornet baker "
    "librarian dentist tailor surveyor barber translator carpenter notary journalist midwife locksmith "
    "jeweller globe abacus telescope compass statue metronome trophy typewriter sandglass microscope "
    "gramophone kaleidoscope cashbox volcanoes dolphins zeppelins castles racehorses pyramids dinosaurs "
    "bridges sailboats tigers astronauts vineyards kangaroos stamps coins thimbles postcards marbles buttons "
    "matchboxes fossils medals bookmarks keyrings banknotes autographs beige turquoise maroon teal magenta "
    "lilac khaki ochre indigo coral burgundy violet anchors crowns diamonds hearts zigzags spirals arrows "
    "triangles clovers peacocks roosters elephants foxes pancakes waffles biscuits pretzels dumplings "
    "sandwiches muffins omelettes lasagne noodles meringues crackers popcorn dachshund poodle hamster beagle "
    "terrier ferret labrador spaniel budgie greyhound linoleum parquet terracotta laminate mosaics flagstones "
    "sisal rugs walnut oaken mahogany pine birch teak rosewood cedar maple beech ebony bamboo cherrywood "
    "geometry chemistry history geography algebra grammar physics economics philosophy woodwork gymnastics "
    "drawing rhetoric general poet bishop admiral painter saint composer duchess senator mathematician "
    "playwright goldsmith cardinal juggling chess archery karaoke calligraphy fencing ventriloquism origami "
    "spelling yodelling ballroom sculpture whistling jazz opera polkas tango blues reggae waltzes flamenco "
    "techno gospel ragtime madrigals sonatas copper aluminium leather cardboard enamel porcelain pewter tin "
    "brass felt parchment zinc plywood cardigans braces bowties dungarees corduroy tweed denim clogs "
    "moccasins berets waistcoats cufflinks suspenders eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty lemons raisins tangerines pears grapes figs "
    "almonds pomegranates hazelnuts pistachios quinces mangoes papayas tram bicycle ferry bus scooter moped "
    "train taxi canoe metro skateboard helicopter rickshaw tractors cathedrals windmills balloons motorcycles "
    "ballerinas temples kittens ponies footballers airports gondolas pagodas paperclips envelopes crayons "
    "receipts pencils invoices magazines dictionaries staples notebooks maps screwdrivers erasers crosswords "
    "bingo sudoku dominoes gossip poker backgammon embroidery quizzes jigsaws tarot whist limericks caravan "
    "motorboat harpsichord camera trampoline hammock limousine yacht tent sidecar drone loom tandem velvet "
    "linen satin tartan canvas suede chintz brocade paisley gingham mohair damask silk casino brewery convent "
    "pharmacy courthouse barracks bank forge printworks toyshop tannery ropeworks thesis novel memoir "
    "screenplay biography musical cookbook symphony satire libretto sonnet travelogue thriller gong foghorn "
    "buzzer trumpet xylophone kazoo siren harp bagpipe zither earring passport wallet bracelet ticket spoon "
    "necklace wristwatch brooch cheque screw monocle hairpin law medicine astronomy theology linguistics "
    "accounting sociology geology archaeology engineering anthropology statistics dentistry fishermen miners "
    "sailors weavers clockmakers acrobats shepherds bankers tobacconists blacksmiths coopers lawyers "
    "conjurers lozenges hexagons chevrons swirls pinstripes ribbons unicorns harlequins seahorses pineapples "
    "swallows flamingos octagons parcels catalogues newspapers brochures telegrams vouchers bills journals "
    "cassettes questionnaires petitions certificates dragon mermaid rocket phoenix cobra skull dagger griffin "
    "centaur lion pirate jaguar swordfish submarines gladiators pharaohs spies cowboys vikings samurai "
    "gangsters popes robots motorways elections alchemists cutlery napkins spanners corks spools tablecloths "
    "cables batteries scissors zips shoelaces nutcrackers hinges quarry racecourse monastery stadium zoo "
    "shipyard circus fairground cemetery distillery steelworks palace sawmill antiques insurance mattresses "
    "spectacles perfume hats cheese sausages furniture wigs toys pianos stationery judge wrestler pilot "
    "magician boxer diplomat clown colonel jockey professor detective surgeon chauffeur lawnmowers "
    "wheelbarrows doormats gnomes hammers ladders paintbrushes deckchairs anvils lassos padlocks "
).split()
