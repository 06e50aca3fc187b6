package shop

import "dcpos/pos"

// Good is something that is sold.
type Good struct {
	ID       string
	Category string
	Name     pos.Text
	Price    pos.Money
	Picture  string // one character
}

// Category is a shelf. Its ID is what lines name and scopes of campaigns mean.
type Category struct {
	ID   string
	Name pos.Text
}

// Categories are the shop's shelves.
func Categories() []Category {
	return []Category{
		{"food", pos.Text{ZH: "食品", EN: "Food"}},
		{"books", pos.Text{ZH: "图书", EN: "Books"}},
		{"household", pos.Text{ZH: "家居", EN: "Household"}},
		{"electronics", pos.Text{ZH: "数码", EN: "Electronics"}},
	}
}

// Goods is what is on the shelves.
func Goods() []Good {
	return []Good{
		{"noodles", "food", pos.Text{ZH: "手工挂面", EN: "Hand-made noodles"}, 12_80, "面"},
		{"tea", "food", pos.Text{ZH: "碧螺春 100 克", EN: "Biluochun tea, 100 g"}, 88_00, "茶"},
		{"mooncakes", "food", pos.Text{ZH: "苏式月饼", EN: "Suzhou mooncakes"}, 45_00, "饼"},
		{"garden", "books", pos.Text{ZH: "《园冶》", EN: "The Craft of Gardens"}, 39_50, "书"},
		{"atlas", "books", pos.Text{ZH: "江南地图集", EN: "Atlas of Jiangnan"}, 126_00, "图"},
		{"umbrella", "household", pos.Text{ZH: "油纸伞", EN: "Oil-paper umbrella"}, 68_00, "伞"},
		{"silk", "household", pos.Text{ZH: "桑蚕丝枕套", EN: "Silk pillowcase"}, 159_00, "枕"},
		{"headphones", "electronics", pos.Text{ZH: "无线耳机", EN: "Wireless headphones"}, 299_00, "耳"},
		{"lamp", "electronics", pos.Text{ZH: "阅读灯", EN: "Reading lamp"}, 119_00, "灯"},
	}
}
