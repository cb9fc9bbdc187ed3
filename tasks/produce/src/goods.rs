//! What a shop of everything sells: categories with their subcategories, and for each the things,
//! their prices and their weights.

/// One subcategory.
#[derive(Debug)]
pub struct Shelf {
    /// Category.
    pub category: &'static str,
    /// Subcategory.
    pub subcategory: &'static str,
    /// What lies on it.
    pub things: &'static [&'static str],
    /// Cheapest and dearest, in cents.
    pub price_cents: (u32, u32),
    /// Lightest and heaviest, in grams.
    pub weight_grams: (u32, u32),
}

/// Brands that do not exist.
pub const BRANDS: &[&str] = &[
    "Alderwick",
    "Bravora",
    "Calmera",
    "Dunvale",
    "Elmstead",
    "Fjordline",
    "Glenmoor",
    "Halvard",
    "Ivoria",
    "Junipera",
    "Kestrelle",
    "Lumenta",
    "Morrowby",
    "Nordhaven",
    "Ochrea",
    "Pinemark",
    "Quillon",
    "Rookwell",
    "Sablewood",
    "Tamarin & Sons",
    "Umbrosa",
    "Velluto",
    "Wexcombe",
    "Yarrowdale",
    "Zephyrine",
];

/// What makes one better than the next.
pub const QUALITIES: &[&str] = &[
    "Classic",
    "Compact",
    "Deluxe",
    "Essential",
    "Everyday",
    "Foldable",
    "Heavy-Duty",
    "Lightweight",
    "Modern",
    "Premium",
    "Pro",
    "Quiet",
    "Rugged",
    "Slim",
    "Smart",
    "Soft",
    "Travel",
    "Ultra",
    "Vintage",
    "Waterproof",
];

/// Colours, for names and filters.
pub const COLOURS: &[&str] = &[
    "black", "white", "blue", "green", "red", "grey", "beige", "silver",
];

const fn shelf(
    category: &'static str,
    subcategory: &'static str,
    things: &'static [&'static str],
    price_cents: (u32, u32),
    weight_grams: (u32, u32),
) -> Shelf {
    Shelf {
        category,
        subcategory,
        things,
        price_cents,
        weight_grams,
    }
}

/// All of them.
pub const SHELVES: &[Shelf] = &[
    shelf(
        "Electronics",
        "Audio",
        &["Headphones", "Earbuds", "Speaker", "Soundbar", "Microphone"],
        (1_999, 39_999),
        (60, 3_500),
    ),
    shelf(
        "Electronics",
        "Computers",
        &["Laptop", "Monitor", "Keyboard", "Mouse", "Docking Station"],
        (1_499, 189_999),
        (90, 6_500),
    ),
    shelf(
        "Electronics",
        "Phones",
        &[
            "Smartphone",
            "Phone Case",
            "Charger",
            "Power Bank",
            "Smartwatch",
        ],
        (999, 119_999),
        (30, 450),
    ),
    shelf(
        "Electronics",
        "Cameras",
        &[
            "Camera",
            "Tripod",
            "Camera Bag",
            "Memory Card",
            "Action Camera",
        ],
        (1_299, 159_999),
        (10, 2_800),
    ),
    shelf(
        "Home",
        "Kitchen",
        &[
            "Frying Pan",
            "Kettle",
            "Chef's Knife",
            "Blender",
            "Baking Tray",
        ],
        (899, 24_999),
        (180, 4_200),
    ),
    shelf(
        "Home",
        "Furniture",
        &[
            "Desk",
            "Bookcase",
            "Office Chair",
            "Side Table",
            "Coat Rack",
        ],
        (3_999, 69_999),
        (2_500, 38_000),
    ),
    shelf(
        "Home",
        "Bedding",
        &["Duvet", "Pillow", "Bed Sheet", "Blanket", "Mattress Topper"],
        (1_299, 29_999),
        (350, 9_000),
    ),
    shelf(
        "Home",
        "Lighting",
        &[
            "Desk Lamp",
            "Floor Lamp",
            "Light Bulb",
            "Lantern",
            "Light Strip",
        ],
        (499, 17_999),
        (50, 6_000),
    ),
    shelf(
        "Clothing",
        "Women",
        &["Dress", "Blouse", "Jeans", "Cardigan", "Raincoat"],
        (1_499, 18_999),
        (120, 1_400),
    ),
    shelf(
        "Clothing",
        "Men",
        &["Shirt", "Chinos", "Pullover", "Jacket", "Belt"],
        (1_299, 19_999),
        (110, 1_600),
    ),
    shelf(
        "Clothing",
        "Shoes",
        &["Sneakers", "Boots", "Sandals", "Loafers", "Running Shoes"],
        (1_999, 22_999),
        (300, 1_900),
    ),
    shelf(
        "Sports",
        "Fitness",
        &[
            "Yoga Mat",
            "Dumbbell",
            "Resistance Band",
            "Jump Rope",
            "Foam Roller",
        ],
        (699, 14_999),
        (90, 20_000),
    ),
    shelf(
        "Sports",
        "Outdoor",
        &[
            "Tent",
            "Backpack",
            "Sleeping Bag",
            "Hiking Poles",
            "Water Bottle",
        ],
        (999, 44_999),
        (150, 7_500),
    ),
    shelf(
        "Sports",
        "Cycling",
        &[
            "Bike Helmet",
            "Bike Light",
            "Bike Lock",
            "Saddle",
            "Bike Pump",
        ],
        (899, 15_999),
        (80, 1_900),
    ),
    shelf(
        "Beauty",
        "Skin Care",
        &["Face Cream", "Cleanser", "Sunscreen", "Serum", "Hand Balm"],
        (399, 8_999),
        (40, 450),
    ),
    shelf(
        "Beauty",
        "Hair Care",
        &[
            "Shampoo",
            "Conditioner",
            "Hair Dryer",
            "Hair Brush",
            "Hair Oil",
        ],
        (349, 17_999),
        (70, 1_200),
    ),
    shelf(
        "Toys",
        "Games",
        &["Board Game", "Puzzle", "Card Game", "Chess Set", "Dice Set"],
        (599, 7_999),
        (90, 2_400),
    ),
    shelf(
        "Toys",
        "Building",
        &[
            "Building Blocks",
            "Train Set",
            "Marble Run",
            "Model Kit",
            "Magnetic Tiles",
        ],
        (999, 18_999),
        (300, 4_800),
    ),
    shelf(
        "Books",
        "Fiction",
        &[
            "Novel",
            "Thriller",
            "Poetry Collection",
            "Short Stories",
            "Fantasy Saga",
        ],
        (499, 3_999),
        (150, 1_300),
    ),
    shelf(
        "Books",
        "Non-Fiction",
        &[
            "Cookbook",
            "Atlas",
            "Biography",
            "Travel Guide",
            "History Book",
        ],
        (799, 5_999),
        (200, 2_600),
    ),
    shelf(
        "Garden",
        "Tools",
        &[
            "Spade",
            "Pruning Shears",
            "Watering Can",
            "Garden Hose",
            "Rake",
        ],
        (799, 9_999),
        (200, 4_500),
    ),
    shelf(
        "Garden",
        "Plants",
        &[
            "Herb Kit",
            "Flower Bulbs",
            "Planter",
            "Grow Light",
            "Seed Box",
        ],
        (299, 8_999),
        (50, 5_500),
    ),
    shelf(
        "Pets",
        "Dogs",
        &["Dog Bed", "Dog Leash", "Dog Bowl", "Chew Toy", "Dog Coat"],
        (499, 11_999),
        (80, 5_000),
    ),
    shelf(
        "Pets",
        "Cats",
        &[
            "Scratching Post",
            "Cat Tunnel",
            "Litter Box",
            "Cat Toy",
            "Cat Bed",
        ],
        (399, 12_999),
        (40, 12_000),
    ),
];
