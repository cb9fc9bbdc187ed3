//! Where users live and what people are called there: twelve countries, each with cities, streets
//! and names that belong together.

/// One country.
#[derive(Debug)]
pub struct Place {
    /// ISO 3166 code.
    pub country: &'static str,
    /// How many of a hundred users live there.
    pub weight: f64,
    /// City and a postal code in it.
    pub cities: &'static [(&'static str, &'static str)],
    /// Street names.
    pub streets: &'static [&'static str],
    /// First names of women, then of men.
    pub first_names: [&'static [&'static str]; 2],
    /// Last names.
    pub last_names: &'static [&'static str],
}

/// The place of a country, if it is one of ours.
pub fn of_country(country: &str) -> Option<&'static Place> {
    PLACES.iter().find(|place| place.country == country)
}

impl Place {
    /// An address as people write it there.
    pub fn address(&self, street: &str, number: u32, post_code: &str, city: &str) -> String {
        let country = self.country;
        match country {
            "US" | "CA" | "GB" | "IN" => {
                format!("{number} {street}, {city} {post_code}, {country}")
            }
            "FR" => format!("{number} {street}, {post_code} {city}, {country}"),
            _ => format!("{street} {number}, {post_code} {city}, {country}"),
        }
    }
}

/// All of them.
pub const PLACES: &[Place] = &[
    Place {
        country: "US",
        weight: 26.0,
        cities: &[
            ("New York", "NY 10001"),
            ("Los Angeles", "CA 90012"),
            ("Chicago", "IL 60601"),
            ("Houston", "TX 77002"),
            ("Seattle", "WA 98101"),
            ("Denver", "CO 80202"),
            ("Boston", "MA 02108"),
            ("Atlanta", "GA 30303"),
        ],
        streets: &[
            "Main Street",
            "Oak Avenue",
            "Maple Drive",
            "Lake Street",
            "2nd Avenue",
            "Park Road",
        ],
        first_names: [
            &[
                "Emily", "Olivia", "Ava", "Grace", "Hannah", "Chloe", "Natalie", "Zoe", "Ruth",
                "Julia",
            ],
            &[
                "James", "Ethan", "Noah", "Mason", "Logan", "Caleb", "Owen", "Isaac", "Tyler",
                "Henry",
            ],
        ],
        last_names: &[
            "Smith", "Johnson", "Brown", "Davis", "Miller", "Wilson", "Moore", "Taylor", "Clark",
            "Lewis", "Walker", "Hall", "Young", "King", "Wright", "O'Neil",
        ],
    },
    Place {
        country: "GB",
        weight: 10.0,
        cities: &[
            ("London", "SW1A 1AA"),
            ("Manchester", "M1 1AE"),
            ("Leeds", "LS1 4DY"),
            ("Bristol", "BS1 4ST"),
            ("Glasgow", "G1 1XQ"),
        ],
        streets: &[
            "High Street",
            "Church Lane",
            "Station Road",
            "Victoria Road",
            "Mill Lane",
        ],
        first_names: [
            &[
                "Amelia", "Isla", "Freya", "Poppy", "Florence", "Imogen", "Alice", "Harriet",
            ],
            &[
                "Oliver", "George", "Alfie", "Archie", "Rory", "Callum", "Toby", "Hugo",
            ],
        ],
        last_names: &[
            "Evans", "Hughes", "Bennett", "Carter", "Hill", "Shaw", "Murray", "Fletcher", "Barnes",
            "Webb",
        ],
    },
    Place {
        country: "DE",
        weight: 12.0,
        cities: &[
            ("Berlin", "10115"),
            ("Hamburg", "20095"),
            ("München", "80331"),
            ("Köln", "50667"),
            ("Leipzig", "04109"),
            ("Stuttgart", "70173"),
        ],
        streets: &[
            "Hauptstraße",
            "Bahnhofstraße",
            "Gartenweg",
            "Lindenallee",
            "Schillerstraße",
        ],
        first_names: [
            &[
                "Anna", "Lena", "Marie", "Sophie", "Jana", "Katrin", "Greta", "Heike",
            ],
            &[
                "Lukas", "Jonas", "Felix", "Paul", "Jürgen", "Stefan", "Moritz", "Tim",
            ],
        ],
        last_names: &[
            "Müller",
            "Schmidt",
            "Schneider",
            "Fischer",
            "Weber",
            "Becker",
            "Schäfer",
            "Koch",
            "Krüger",
            "Vogel",
        ],
    },
    Place {
        country: "FR",
        weight: 9.0,
        cities: &[
            ("Paris", "75001"),
            ("Lyon", "69001"),
            ("Marseille", "13001"),
            ("Toulouse", "31000"),
            ("Nantes", "44000"),
        ],
        streets: &[
            "rue de la Paix",
            "avenue Victor Hugo",
            "rue du Moulin",
            "boulevard Pasteur",
        ],
        first_names: [
            &[
                "Camille", "Léa", "Manon", "Chloé", "Inès", "Élise", "Margaux", "Zélie",
            ],
            &[
                "Louis", "Gabriel", "Hugo", "Théo", "Rémi", "Antoine", "Baptiste", "Luc",
            ],
        ],
        last_names: &[
            "Martin", "Bernard", "Dubois", "Petit", "Durand", "Leroy", "Moreau", "Girard",
            "Lefèvre", "Roux",
        ],
    },
    Place {
        country: "ES",
        weight: 7.0,
        cities: &[
            ("Madrid", "28001"),
            ("Barcelona", "08001"),
            ("Valencia", "46001"),
            ("Sevilla", "41001"),
            ("Málaga", "29001"),
        ],
        streets: &[
            "Calle Mayor",
            "Calle del Sol",
            "Avenida de España",
            "Paseo del Prado",
        ],
        first_names: [
            &[
                "Lucía", "Carmen", "Marta", "Elena", "Paula", "Nuria", "Irene",
            ],
            &[
                "Hugo", "Pablo", "Álvaro", "Diego", "Javier", "Adrián", "Sergio",
            ],
        ],
        last_names: &[
            "García",
            "Fernández",
            "López",
            "Sánchez",
            "Pérez",
            "Gómez",
            "Ruiz",
            "Muñoz",
            "Navarro",
        ],
    },
    Place {
        country: "IT",
        weight: 7.0,
        cities: &[
            ("Roma", "00184"),
            ("Milano", "20121"),
            ("Napoli", "80133"),
            ("Torino", "10121"),
            ("Bologna", "40121"),
        ],
        streets: &["Via Roma", "Via Garibaldi", "Corso Italia", "Via Dante"],
        first_names: [
            &[
                "Giulia",
                "Chiara",
                "Martina",
                "Francesca",
                "Elisa",
                "Alessia",
                "Noemi",
            ],
            &[
                "Marco", "Luca", "Matteo", "Davide", "Andrea", "Nicolò", "Simone",
            ],
        ],
        last_names: &[
            "Rossi", "Bianchi", "Ferrari", "Esposito", "Romano", "Colombo", "Ricci", "D'Angelo",
        ],
    },
    Place {
        country: "NL",
        weight: 4.0,
        cities: &[
            ("Amsterdam", "1012 AB"),
            ("Rotterdam", "3011 AA"),
            ("Utrecht", "3511 AA"),
            ("Eindhoven", "5611 AA"),
        ],
        streets: &["Dorpsstraat", "Kerkstraat", "Molenweg", "Prinsengracht"],
        first_names: [
            &["Sanne", "Fleur", "Lotte", "Anouk", "Femke", "Eva"],
            &["Daan", "Bram", "Sem", "Thijs", "Ruben", "Joris"],
        ],
        last_names: &[
            "de Jong",
            "Jansen",
            "van den Berg",
            "Bakker",
            "Visser",
            "Meijer",
            "de Boer",
        ],
    },
    Place {
        country: "PL",
        weight: 4.0,
        cities: &[
            ("Warszawa", "00-001"),
            ("Kraków", "30-001"),
            ("Gdańsk", "80-001"),
            ("Wrocław", "50-001"),
        ],
        streets: &["ul. Długa", "ul. Polna", "ul. Leśna", "ul. Słoneczna"],
        first_names: [
            &["Zuzanna", "Maja", "Alicja", "Agnieszka", "Ewa", "Magda"],
            &["Jakub", "Szymon", "Piotr", "Michał", "Tomasz", "Wojciech"],
        ],
        last_names: &[
            "Nowak",
            "Kowalczyk",
            "Wójcik",
            "Mazur",
            "Krawczyk",
            "Dąbrowski",
            "Zając",
        ],
    },
    Place {
        country: "BR",
        weight: 8.0,
        cities: &[
            ("São Paulo", "01001-000"),
            ("Rio de Janeiro", "20010-000"),
            ("Brasília", "70040-010"),
            ("Curitiba", "80010-000"),
            ("Recife", "50010-000"),
        ],
        streets: &[
            "Rua das Flores",
            "Avenida Brasil",
            "Rua São João",
            "Rua XV de Novembro",
        ],
        first_names: [
            &[
                "Ana", "Beatriz", "Larissa", "Júlia", "Fernanda", "Luiza", "Tainá",
            ],
            &[
                "João",
                "Rafael",
                "Gustavo",
                "Mateus",
                "Thiago",
                "Vinícius",
                "Caio",
            ],
        ],
        last_names: &[
            "Silva",
            "Souza",
            "Oliveira",
            "Pereira",
            "Carvalho",
            "Araújo",
            "Barbosa",
            "Gonçalves",
        ],
    },
    Place {
        country: "CA",
        weight: 4.0,
        cities: &[
            ("Toronto", "ON M5H 2N2"),
            ("Montréal", "QC H2Y 1C6"),
            ("Vancouver", "BC V6B 1A1"),
            ("Calgary", "AB T2P 1J9"),
        ],
        streets: &["King Street", "Queen Street", "Elm Street", "Bay Street"],
        first_names: [
            &["Charlotte", "Abigail", "Maya", "Claire", "Paige", "Simone"],
            &["Liam", "Nathan", "William", "Gavin", "Étienne", "Wyatt"],
        ],
        last_names: &[
            "Tremblay",
            "Roy",
            "Campbell",
            "Stewart",
            "Gagnon",
            "MacDonald",
            "Singh",
        ],
    },
    Place {
        country: "IN",
        weight: 6.0,
        cities: &[
            ("Mumbai", "400001"),
            ("Delhi", "110001"),
            ("Bengaluru", "560001"),
            ("Chennai", "600001"),
            ("Pune", "411001"),
        ],
        streets: &["MG Road", "Station Road", "Nehru Street", "Temple Road"],
        first_names: [
            &["Aarti", "Diya", "Kavya", "Meera", "Priya", "Sneha"],
            &["Arjun", "Rohan", "Vikram", "Aditya", "Karan", "Nikhil"],
        ],
        last_names: &[
            "Sharma", "Patel", "Reddy", "Iyer", "Gupta", "Nair", "Mehta", "Das",
        ],
    },
    Place {
        country: "JP",
        weight: 3.0,
        cities: &[
            ("Tokyo", "100-0001"),
            ("Osaka", "530-0001"),
            ("Nagoya", "450-0002"),
            ("Sapporo", "060-0001"),
        ],
        streets: &["Sakura-dori", "Chuo", "Midori-cho", "Honmachi"],
        first_names: [
            &["Yui", "Aoi", "Hina", "Sakura", "Mei", "Rin"],
            &["Haruto", "Ren", "Sota", "Yuto", "Kaito", "Daiki"],
        ],
        last_names: &[
            "Sato",
            "Suzuki",
            "Takahashi",
            "Tanaka",
            "Watanabe",
            "Ito",
            "Yamamoto",
        ],
    },
];
