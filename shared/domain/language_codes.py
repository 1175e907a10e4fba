"""Language codes of ISO 639 with their canonical forms, and the usual script of each language.

Sources: ISO 639-3 and ISO 15924 as in `pycountry` 26.2.16; aliases and likely scripts of Unicode CLDR 48.
"""

from __future__ import annotations


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_THREE_LETTERS = (
    "aaabcdefghiklnopqrstuwxz ababcdefghijklmnopqrstuvwxyz acabdefhiklmnpqrstuvwxyz adabdefghijlnoqrstuwxyz "
    "aeabcdeklmnqrsuwyz afbdeghiknoprstuz agabcdefghijklmnoqrstuvwxyz ahabghiklmnoprst aiabcdefghijklmnopqrtwxy "
    "ajaginsuwz akabcdefghijklmopqrstuvwxyz alabcdefhijklmnopqrstuwxyz amabcefghijklmnopqrstuvwxyz "
    "anabcdefghijklmnopqrstuvwxyz aoabcdefgijklmnrstuxz apbcdefghijklmnopqrstuvwxyz aqcdgkmnprtz "
    "arabcdeghijklmnopqrsuvwxyz asabcefghijklmnopqrstuvwxyz atabcdegijklmnopqrstuvwxyz auabcdghijklmnopqrtuwxyz "
    "avabdeiklmnostuv awabceghikmnorstuvwxy axbegklmx ayabcdeghiklmnopqrstuz azabdegjmnotz baabcefghjklmnopqrsuvwxy "
    "bbabcdefghijklmnopqrstuvwxy bcabcdefghijklmnopqrstuvwyz bdabcdefghijklmnopqrstuvwxyz beabcdefghijklmnopqstuvwxyz "
    "bfabcdefghijklmnopqrstuwxyz bgabcdefgijklnopqrstuvwxyz bhabcdefghijlmnopqrstuvwxyz biabdefgklmnopqrstuvwxyz "
    "bjabcefghijklmnoprstuvwxyz bkacdfghijklmnopqrstuvwxyz blabcdefhijklmnopqrstvwxyz bmabcdefghijklmnopqrstuvwxz "
    "bnabcdefgijklmnopqrsuvwxyz boabdefghijklmnopqrstuvwxyz bpacdeghijklmnopqrstuvwxyz bqabcdfghijklmnopqrstuvwxyz "
    "brabcdefghijklmnopqrstuvwxyz bsabcefghijklmnopqrstuvwxy btacdefghijmnopqrstuvwxyz buabcdefghijklmnopqrstuvwxyz "
    "bvabcdefghijklmnopqrtuvwxyz bwabcdefghijklmnopqrstuwxyz bxabcdefghijklmnopqrsuvwz byabcdefghijklmnopqrstvwxz "
    "bzabcdefghijklmnopqrstuvwxyz caabcdefghjklmnopqrstvwxyz cbbcdgijklnoqrstuvwy cccdeghjlmopr cdaefhijmnorsyz "
    "ceabgknsty cfadgm cgacgk chabcdefghijklmnopqrtuvwxyz ciabcdehkmnprwy cjaehikmnopsvy ckbhlmnoqrstuvxyz "
    "clacdehijklmostuwy cmaegilmnorst cnabcghiklopqrstuwx coabcdefghjklmnopqrstuvwxz cpabcginosuxy cqd "
    "crabcdefghijklmnoqrstvwxyz csabcdefghijklmnopqrstvwxyz ctacdeghlmnopstuyz cuabchijklopqrtuvwxy cvgn cwabdegt cxh "
    "cyabmo czehknot daacdeghijklmnoqrsuvwxz dbabdefgijlmnopqrtuvwy dccr ddadegijnorsw decdefghilmnpqrsuvz "
    "dgabcdeghiklnorstwxz dhdgilmnorsuvwx diabcdfghijklmnopqrsuvwxyz djabcdefijkmnoruw dkagkrsx dlgkmn "
    "dmabcdefgklmorsuvwxy dnadegijknortuvwy doabcefhiklnopqrstvwxyz dpp drbcdegilnoqstuy dsbehiklnoqz "
    "dtabdhikmnoprstuy duabcefghiklmnopqrstuvwxyz dva dwakrsuwyz dyabdgimnoruy dzadeglno eaa ebcgkoru ecrsy eee efaei "
    "egalmoy ehsu eiptv eja ekaegiklmopry elehiklmoux emabegikmnpqsuwxyz enabcdfghlmnoqruvwx eot epio eraghikorstw "
    "eseghiklmnoqstuy etbchnorstuxz euds evehn eweo ext eyao ezae faabdfghijklmnoprstuxyz fbl fcs fer ffim fgr "
    "fiaefjlnprtw fkkv flahilnry fmpu fnbgi fodimnrs fpe fqs fracdekmopqrsty fsels fubcdefhijlmnqrtuvy fvr fwae "
    "gaabcdefghijklmnopqrstuwxyz gbabdefghijklmnopqrsuvwxyz gccdeflnrt gdabcdefghijklmnoqrstux geabcdfghijkloqrsvwxyz "
    "gfkt ggabdegkltuw ghacehklnorst giabcdeghilmnpqrstuwxyz gjkmnru gkadenopu glabcdeghjkloruvwy gmabdghlmnruvxyz "
    "gnabcdeghijklmnoqrtuwz goabcdefghijklmnopqrstuvwxyz gpaen gqainru grabcdeghijmnoqrstuvwxyz gseglmnopsw gtau "
    "guabcdefghijklmnopqrstuwxz gvacefjlmnoprsy gwabcdefgijmnrtuwx gxx gyabdefgilmnoryz gzain "
    "haabcdefghijklmnopqrstuvwxyz hbabnosu hcah hdnsy heabdghimr hgmw hhiry hiabdfghijklnortwx hji hkaehkns hlabdetu "
    "hmabcdefghijklmnopqrstuvwyz hnadeghijmnosu hoabcdehijlmoprstvwyz hpos hracekmoptuvwxz hsbhlns htiosux "
    "hubcdefghijklmnopqrstuvwxyz hvceknv hwaco hyaew iainr ibabdeghlmnoruy icaehlr idabcdeiorstu ifabefkmuy "
    "igbeglmnosw ihbipw iiin ijcejns ikehikloprstuvwxz ilabegikmopsuv imailnorsty inabdghjlmnopstz ioruw ipiko iquw "
    "irehiknruxy isacdeghiklmnortuv itabdeiklmorstvwxyz ium ivbv iwkmos ixcl iyaox izhmrz jaabcdefhjklmnoqstuvxyz "
    "jbeijkmnortuw jcst jdagt jebehiklnrtu jgbeko jhis jiabcdeghilmoqtuvy jjer jkamoprsu jles jmabcdilnrswx jnadgijls "
    "jobdgrsw jpanr jqr jrabrtu jsl juabcdhiklmnoprstuwy jvdn jwi jyaey kaabcdefghijklmnopqstuvwxyz "
    "kbabcdeghijklmnopqrstuvwxyz kcabcdefghijklmnopqrstuvwxyz kdacdefghijklmnpqrtuwxyz keabcdefghijklmnopqrstuvwxyz "
    "kfabcdefghijklmnopqrstuvwxyz kgabefgijklnopqrstuvwxy khabcdefghjklmnopqrstuvwxyz kiabcdefghijklmnopqrstuvwxyz "
    "kjabcdeghijklmnopqrstuvxyz kkabcdefghijklmnopqrstuvwxyz klabcdefghijklmnopqrstuvwxyz "
    "kmabcdefghijklmnopqrstuvwxyz knabcdefgijklmnopqrstuvwxyz koacdefghiklmnopqrstuvwyz kpabcdefghijklmnoqrstuvwxyz "
    "kqabcdefghijklmnopqrstuvwxyz krabcdefhijklnprstuvwxyz ksbcdefghijklmnopqrstuvwxyz ktabcdefghijklmnopqstuvwxyz "
    "kuabcdefghijklmnopqrstuvwxyz kvabcdefghijklmnopqrtuvwxyz kwabcdefghijklmnoprstuvwxyz kxabcdfhijkmnopqrstvwxyz "
    "kyabcdefghijklmnopqrstuvwxyz kzabcdefgiklmnopqrsuvwxyz laabcdefghijlmnopqrstuvwxyz lbbcefgijklmnoqrstuvwxyz "
    "lccdefhlmpqs ldabdghijklmnopq leabcdefhijklmnopqrstuvwxyz lfan lgabghiklmnoqrstuz lhahilmnpstu "
    "liabcdefghjklmnopqrstuvwxyz ljaeilpwx lkabcdehijlmnorstuy llabcdefghijklmnpqsux lmabcdefghijklnopqruvwxy "
    "lnabdghijlmnsuwz loabcefghijklmnopqrstuvwxyz lpaenox lqr lracegiklmnortvz lsabcdehilmnoprstvwy ltcghinosuz "
    "luabcdefghijklmnopqrstuvwyz lvaiklsu lwaeghlmostuw lxm lyagn lzhlnz maabcdefghijklmnoqrstuvwxyz "
    "mbabcdefhijklmnopqrstuvwxyz mcabcdefghijklmnopqrstuvwxyz mdabcdefghijklmnpqrstuvwxyz meabcdefhijklmnopqrstuvwyz "
    "mfabcdefghijklmnopqrstuvwxyz mgabcdefghijklmnopqrstuvwyz mhabcdefgijklmnopqrstuwxyz miabcdefghijklmnopqrstuwxyz "
    "mjbcdeghijklmnopqrstuvwxyz mkabcdefgijklmnopqrstuvwxyz mlabcefghijklmnopqrstuvwxz mmabcdefghijklmnopqrtuvwxyz "
    "mnabcdefghijklmnpqrsuvwxyz moacdeghijkmnopqrstuvwxyz mpabcdeghijklmnopqrstuvwxyz mqabcefghijklmnopqrstuvwxyz "
    "mrabcdefghijklmnopqrstuvwxyz msabcdefghijklmnopqrsuvwxyz mtabcdefghijklmnopqrstuvwxy muabcdeghijklmopqrstuvxyz "
    "mvabdefghiklnopqrstuvwxyz mwabcefghiklmnopqrstuvwz mxabcdefghijklmnopqrstuvwxyz myabcefghjklmoprsuvwxyz "
    "mzabcdeghijklmnopqrstuvwxyz naabcefgjklmnopqrstuvwxyz nbabcdeghijklmnopqrstuvwy ncabcdefghijklmnoqrstuxz "
    "ndabcdefghijklmnopqrstuvwxyz neabcdefghijkmnopqrstuvwxyz nfadlru ngabcdeghijklmnpqrstuvwxyz "
    "nhabcdefghikmnopqrtuvwxyz niabdefghijklmnoqrstuvwxyz njabdhijlmnorstuxyz nkabcdefghijkmnopqrstuvwxz "
    "nlacdegijklmoquvwxyz nmabcdefghijklmnopqrstuvwxyz nnabcdefghijklmnopqrtuvwyz noabcdefghijklnpqrstuvwyz "
    "npabghilnosuxy nqgklmnoqty nrabcefgiklmnprtuxz nsabcdefghiklmnopqrstuvwxyz ntdgijkmopruwxyz "
    "nuacdefghijklmnopqrstuvwxyz nvhmo nwabcegimorwxy nxadegiklmnoqrx nyabcdefghijklmnopqrstuvwxy nzabdikmrsuyz "
    "oaackrv obiklmortu ocahimou odaktu ofosu ogbcegou ohtu oiaen ojbcgipsvw okabcdeghijklmnorsuvxz oladekmortu "
    "omabcgiklnoprtuwxy onabegijknoprstuwx oodgnrs opakmoty oraceghimnorstuvwxyz osacinopstux otabdeiklmnqrstuwxyz "
    "ouabeim ovd owil oybdmy ozm pabcdefghiklmnopqrsuvwxyz pbbcefghilmnoprstuvy pcabcdefghijklmnpw pdacinotu "
    "peabdefghijklmopqrsvxyz pfael pgadgiklnsuz phadghjklmnoqrtuvw piabcdefghjlmnoprstuvwxyz pjt pkabcghnoprstu "
    "plabcdeghiklnoqrstuvwyz pmabdefhijlmnoqrstwxyz pnabcdeghijklmnopqrstuvwxyz pocefghiklmnopqrstvwxy ppeiklmnopqstu "
    "pqam prcdefghiklmnoqrstuwxz psacdeghilmnopqrstuwy ptahinopqrtuvwy puabcdefgijmopqrstuwxy pwabgimnorw pxm "
    "pyemnsuxy pzehn quabcdefghiklmnpqrsvwxyz qvacehijlmnopswyz qwachmst qxachlnopqrstuw qyap "
    "raabcdfghijklmnopqrstuvwxyz rbbklp rcf rdb reabegijlmnrsty rgaeknrsu rhgp riabflmnrtu rjgis rkabhimtw "
    "rmabcdefghiklmnopqstuvwxyz rnbdglnprw robcdefghlmnopruw rpnt rrimot rsbklmnw rtchmsw rubcefghikmnopqstuyz "
    "rwaklmor rxdw rynsu rzh saabcdefghjkmnoqrstuvwxyz sbabcdefghijklmnopqrstuvwxyz scbefghiklnopqstuvwx "
    "sdabcefghjklnopqrstuxz seabcdefghijklnopqrstuvwyz sfbemsw sgabcdeghijkmprstuwxyz shabcdeghijklmnopqrstuvwxyz "
    "siabdefghijklmnpqrsuvwxyz sjabcdegklmnoprstuw skabcdefghijmnopqrstuvwxyz slcdefghijklmnoprstuvwxyz "
    "smabcefghjklmnopqrstuvwxyz snacdefgijklmnopqrsuvwxyz soabcdeghijklmopqrstuvwxyz spabcdegiklmnopqrstuvxy "
    "sqahikmnoqrstux srabcdefghiklmnopqrstuvwxyz ssbcdefghijklmnopqrstuvwxyz stabdefghijklmnopqrstuvwy "
    "suabcegijknoqrstvwxyz svabcekmsx swabcefghijklmnopqrstuvwxy sxbcegklmnorsuw syabciklmnorswxy szabceglnpsvwy "
    "taabcdefghjklmnopqrstuvwxyz tbacdefghijklmnoprstuvwxyz tcabcdefghiklmnopqstuwxyz tdabcdefghijklmnoqrstvxy "
    "teabcdefghiklmnopqrstuvwxyz tfinort tgabcdefhijklnopqrstuvwxyz thadefhiklmnpqrstuvyz tiabcfghijklmnopqrstuvwxyz "
    "tjagijlmnopsuw tkabdefglmnpqrstuvwxz tlabcdfghijklmnopqrstuvxy tmabcdefghijlmnoqrstuvwyz "
    "tnabcdghiklmnopqrstuvwxyz tobcdfghijklmnopqrsuvwxyz tpacefgijklmnopqrtuvxyz tqblmnopqrtuw "
    "trabcdefghijlmnopqrstuvwxyz tsabcdeghijklmnopqrstuvwxyz ttabcdefghijklmnopqrstuvwyz tuabcdefghijklmnoqrsuvxyz "
    "tvadeiklmnostuwxy twabcdefghilmnopqrtuwxy txabceghijmnoqrstuxy tyaehijlnprstuvxyz tzahjlmnox uamnr ubailruy "
    "udaegijlmu ues ufi ugabehnoy uhan uigsv uji ukaghiklpqrsuvwy ulabcefiklmnuwy umabcdgimnoprsu unadegikmnruxz uon "
    "upiv urabcdefghiklmnoprtuvwxyz usahikpsu utaehpru uumru uvehl uwa uya uzbns vaaefghijlmnoprsuvy vbbk vecdlmnopr "
    "vgrt vicdefglnstv vjk vkajklmnoptuz vlps vmabcdefghijklmpqrsuvwxyz vnkmp volrt vraost vsilnv vto vumnt vwa "
    "waabcdefghijlmnopqrstuvwxyz wbabefhijklmpqrstvw wcai wddgjktuy weacdghilmoprstuw wfg wgabgiouy whagku "
    "wibcefghijklmnruvy wjai wkabdlruwy wlaceghiklmnorsuvwxy wmabcdeghimnostwx wnbcdegikmnopuwy woabcdefgiklmnorswy "
    "wpc wrbghiklmnoprsuvwxyz wsagikrsuv wtbfhikmw wuabdhlmnrtuvxy wwaborw wxaw wybimnry xaabcdegijklmnopqrstuvwy "
    "xbbcdegijmnoprwy xcbceghlmnortuvwy xdackmoqy xebdglmprstu xfa xgabdfgilmruw xhacdemortuv xibilnrsvy xjbt "
    "xkabcdefgijklnopqrstuvwxyz xlabcdeginopsuy xmabcdefghjklmnopqrstuvwxyz xnabghijkmnoqrstuyz xocdgikmnoprw "
    "xpabcdefghijklmnopqrstuvwxyz xqat xrabdegimnrtuw xsabcdehijlmnopqruvy xtabcdeghijlmnopqrstuvwy xuabdgjlmnoprtu "
    "xveinos xwacdegjklortw xxbkmrt xyabjklty xzhmp yaabcdefghijklmnopqrstuvwxyz ybabehijklmnoxy ychlnpr ydadegk "
    "yeaceijlrstuvy ygailmprsuw yhadls yiadfghijklmnpqrstuvxz ykaghiklmnortuy ylabegilmnoruy ymbcdeghiklmnopqrsxz "
    "ynabdegklnoqsu yobgiklmnrtxy ypabghmnopz yrabeklmnoswy yscdglmnoprsy ytalpwy yuabcdefgijklmnpqrtwxyz yvat "
    "ywaglnqrtuw yxaglmuy yyruz yzgk zaabcdefghijklmopqrstuvwxyz zbaceltuw zcadh zdj zeaghmn zgabhmnr zhabdinow "
    "ziabklmnwz zkadghknoprtuvz zlajmnqu zmabcdefghijklmnopqrstuvwxyz znaegks zochmoqrs zpabcdefghijklmnopqrstuvwxyz "
    "zqe zragnops zsaklmru zteglmnpqstuxy zuhlmny zwa zxx zybgjnp zzaj"
)
"""Every code of three letters: two letters, then each possible third one."""

TWO_LETTERS = _words(
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el "
    "en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is "
    "it iu iw ja ji jv jw ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml "
    "mn mo mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd "
    "se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi "
    "vo wa wo xh yi yo za zh zu"
)

LANGUAGES = TWO_LETTERS | {group[:2] + last for group in _THREE_LETTERS.split() for last in group[2:]}
"""Every assigned code, replaced ones included."""

ALIASES = _pairs(
    "aar:aa abk:ab afr:af aju:jrb aka:ak alb:sq als:sq amh:am ara:ar arb:ar arg:an arm:hy asm:as ava:av ave:ae aym:ay "
    "ayr:ay aze:az azj:az bak:ba bam:bm baq:eu bcc:bal bcl:bik bel:be ben:bn bis:bi bod:bo bos:bs bre:br bul:bg "
    "bur:my bxk:luy bxr:bua cat:ca ces:cs cha:ch che:ce chi:zh chu:cu chv:cv cld:syr cls:sa cmn:zh cnr:sr-me cor:kw "
    "cos:co cre:cr cwd:cr cym:cy cze:cs dan:da deu:de dgo:doi dhd:mwr dik:din diq:zza div:dv dut:nl dzo:dz ekk:et "
    "ell:el emk:man eng:en epo:eo esk:ik est:et eus:eu ewe:ee fao:fo fas:fa fat:ak fij:fj fin:fi fra:fr fre:fr fry:fy "
    "fuc:ff ful:ff gaz:om gbo:grb geo:ka ger:de gla:gd gle:ga glg:gl glv:gv gno:gon gom:kok gre:el grn:gn gug:gn "
    "guj:gu gya:gba hat:ht hau:ha hbs:sr-latn hdn:hai hea:hmn heb:he her:hz hin:hi hmo:ho hrv:hr hun:hu hye:hy ibo:ig "
    "ice:is ido:io iii:ii ike:iu iku:iu ile:ie in:id ina:ia ind:id ipk:ik isl:is ita:it iw:he jav:jv ji:yi jpn:ja "
    "jw:jv kal:kl kan:kn kas:ks kat:ka kau:kr kaz:kk khk:mn khm:km kik:ki kin:rw kir:ky kmr:ku knc:kr kng:kg kom:kv "
    "kon:kg kor:ko kpv:kv kua:kj kur:ku lao:lo lat:la lav:lv lbk:bnc lim:li lin:ln lit:lt ltz:lb lub:lu lug:lg lvs:lv "
    "mac:mk mah:mh mal:ml mao:mi mar:mr may:ms mhr:chm mkd:mk mlg:mg mlt:mt mo:ro mon:mn mri:mi msa:ms mup:raj mya:my "
    "nau:na nav:nv nbl:nr nde:nd ndo:ng nep:ne nld:nl nno:nn nob:nb nor:no npi:ne nya:ny oci:oc ojg:oj oji:oj ori:or "
    "orm:om ory:or oss:os pan:pa pbu:ps per:fa pes:fa pli:pi plt:mg pnb:lah pol:pl por:pt prs:fa-af pus:ps que:qu "
    "quz:qu rmy:rom roh:rm ron:ro rum:ro run:rn rus:ru sag:sg san:sa sh:sr-latn sin:si slk:sk slo:sk slv:sl sme:se "
    "smo:sm sna:sn snd:sd som:so sot:st spa:es spy:kln sqi:sq src:sc srd:sc srp:sr ssw:ss sun:su swa:sw swc:sw-cd "
    "swe:sv swh:sw tah:ty tam:ta tat:tt tel:te tgk:tg tgl:fil tha:th tib:bo tir:ti tl:fil ton:to tsn:tn tso:ts "
    "ttq:tmh tuk:tk tur:tr twi:ak uig:ug ukr:uk umu:del urd:ur uzb:uz uzn:uz ven:ve vie:vi vol:vo wel:cy wln:wa "
    "wol:wo xho:xh xpe:kpe xsj:suj xsl:den ydd:yi yid:yi yor:yo zai:zap zha:za zho:zh zsm:ms zul:zu zyb:za"
)
"""Canonical code by other code: replaced codes, three letters for two, a dialect for its language."""

SCRIPTS = _words(
    "adlm afak aghb ahom arab aran armi armn avst bali bamu bass batk beng berf bhks blis bopo brah brai bugi "
    "buhd cakm cans cari cham cher chis chrs cirt copt cpmn cprt cyrl cyrs deva diak dogr dsrt dupl egyd egyh "
    "egyp elba elym ethi gara geok geor glag gong gonm goth gran grek gujr gukh guru hanb hang hani hano hans "
    "hant hatr hebr hira hluw hmng hmnp hntl hrkt hung inds ital jamo java jpan jurc kali kana kawi khar khmr "
    "khoj kitl kits knda kore kpel krai kthi lana laoo latf latg latn leke lepc limb lina linb lisu loma lyci "
    "lydi mahj maka mand mani marc maya medf mend merc mero mlym modi mong moon mroo mtei mult mymr nagm nand "
    "narb nbat newa nkdb nkgb nkoo nshu ogam olck onao orkh orya osge osma ougr palm pauc pcun pelm perm phag "
    "phli phlp phlv phnx piqd plrd prti psin qaaa qabx ranj rjng rohg roro runr samr sara sarb saur seal sgnw "
    "shaw shrd shui sidd sidt sind sinh sogd sogo sora soyo sund sunu sylo syrc syre syrj syrn tagb takr tale "
    "talu taml tang tavt tayo telu teng tfng tglg thaa thai tibt tirh tnsa todr tols toto tutg ugar vaii visp "
    "vith wara wcho wole xpeo xsux yezi yiii zanb zinh zmth zsye zsym zxxx zyyy zzzz"
)

USUAL_SCRIPTS = {
    language: script
    for script, languages in {
        "cyrl": "ab av ba be bg ce cu cv kk ky kv mk mn os ru sr tt tg uk",
        "ethi": "am ti",
        "arab": "ar fa ks ps sd ug ur",
        "beng": "as bn",
        "avst": "ae",
        "tibt": "bo dz",
        "cans": "cr iu oj",
        "thaa": "dv",
        "grek": "el",
        "gujr": "gu",
        "hebr": "he yi",
        "deva": "hi mr ne sa",
        "armn": "hy",
        "yiii": "ii",
        "jpan": "ja",
        "knda": "kn",
        "geor": "ka",
        "khmr": "km",
        "kore": "ko",
        "laoo": "lo",
        "mlym": "ml",
        "mymr": "my",
        "orya": "or",
        "guru": "pa",
        "sinh": "si",
        "taml": "ta",
        "telu": "te",
        "thai": "th",
        "hans": "zh",
        "latn": (
            "aa af ak an ay az bm bi bs br ca cs ch kw co cy da de en eo et eu ee fo fj fi fr fy ff gd ga gl gv "
            "gn ht ha hz ho hr hu ig io ie ia id ik is it jv kl kr ki rw kg kj ku la lv li ln lt lb lu lg mh mg "
            "mt mi ms na nv nr nd ng nl nn nb no ny oc om pi pl pt qu rm ro rn sg sk sl se sm sn so st es sq sc "
            "ss su sw sv ty to tn ts tk tr tw uz ve vi vo wa wo xh yo za zu"
        ),
    }.items()
    for language in languages.split()
}
"""Usual script by language of two letters."""

SCRIPTS_BY_COUNTRY = {
    f"{language}-{country}": script
    for language, script, countries in (
        ("az", "arab", "ir iq"),
        ("az", "cyrl", "ru"),
        ("ha", "arab", "cm sd"),
        ("kk", "arab", "af cn ir mn"),
        ("ku", "cyrl", "am az ge tm"),
        ("ku", "arab", "ir iq lb"),
        ("ky", "arab", "cn"),
        ("ky", "latn", "tr"),
        ("mn", "mong", "cn"),
        ("ms", "arab", "cc"),
        ("pa", "arab", "pk"),
        ("pi", "deva", "in"),
        ("pi", "sinh", "lk"),
        ("pi", "mymr", "mm"),
        ("pi", "thai", "th"),
        ("sd", "deva", "in"),
        ("sr", "latn", "me ro tr"),
        ("tg", "arab", "pk"),
        ("ug", "cyrl", "kz mn"),
        ("uz", "arab", "af"),
        ("uz", "cyrl", "cn"),
        ("zh", "hant", "au bn gb gf hk id mo pa ph pf sr th tw us vn"),
    )
    for country in countries.split()
}
"""Usual script by `language-country`, where it differs from the language's."""
